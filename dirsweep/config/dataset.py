"""Which data a trial runs on, how its labels are binned and what counts as many and few.

Bins and shots belong to the dataset and are never searched: a search that could redefine
"few-shot" could win by renaming samples (METHOD section 1).
"""

from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

LARGEST = 2**63 - 1
"""The largest whole number that arrays and seeds hold."""


class Config(BaseModel):
    """A frozen piece of configuration: unknown keys, NaN, infinity and endless numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, data: Any) -> Any:
        """Python counts true as 1; in a configuration it is a slip."""
        for key, field in cls.model_fields.items() if isinstance(data, dict) else ():
            if isinstance(data.get(key), bool) and bool not in (
                field.annotation,
                *get_args(field.annotation),
            ):
                raise ValueError(f"{key} takes neither true nor false")
        return data

    @model_validator(mode="after")
    def _whole_numbers_fit(self) -> Self:
        for key, value in self:
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, int) and abs(one) > LARGEST:
                    key = type(self).model_fields[key].alias or key
                    raise ValueError(f"{key} is larger than a whole number may be ({LARGEST})")
        return self


class BinWidth(Config):
    """Bins of one width: [start + k * width, start + (k + 1) * width) for every whole k."""

    name: Literal["width"] = "width"
    width: PositiveFloat
    """Width of a bin, in label units."""
    start: float = 0.0
    """Where one bin begins, in label units; bins go on from there in both directions."""


class BinEdges(Config):
    """Bins between given edges; the last bin includes its upper edge."""

    name: Literal["edges"] = "edges"
    edges: Annotated[tuple[float, ...], Field(min_length=2)]
    """Rising edges, in label units."""

    @model_validator(mode="after")
    def _rising(self) -> "BinEdges":
        for low, high in zip(self.edges, self.edges[1:], strict=False):
            if not low < high:
                raise ValueError(f"edges must rise, but {high:g} follows {low:g}")
        return self


USUAL_METRICS = ("mae", "gm")
"""What the field's tables show of most datasets; configurations are compared by the first."""


class Diamonds(Config):
    """The diamonds table that is shipped: price in dollars, bins of $250, one fixed split."""

    kind: ClassVar = "tables"
    label_unit: ClassVar = "dollars"
    metrics: ClassVar = USUAL_METRICS
    shot_note: ClassVar = ""
    name: Literal["diamonds"] = "diamonds"


class Labelled(Config):
    """A table that has a numeric target in every row, and says or lets us cut its split."""

    path: str
    """The CSV file; a relative path starts at the folder of the file that names it."""
    target: str
    """Column of the label."""
    bins: Annotated[BinWidth | BinEdges, Field(discriminator="name")]
    """How the label range is cut into bins."""
    split_column: str | None = None
    """Column that says train, val or test; without it a balanced split is cut (`split_seed`)."""
    group_column: str | None = None
    """Rows that agree in this column (a subject) stay on one side of the split we cut, and count as one
    independent sample in every interval."""
    split_seed: int = 0
    """Seed of the balanced split."""
    held_out_per_bin: PositiveInt = 30
    """At most this many rows of a bin go to val, and as many to test; never over a third each."""
    many_above: PositiveInt = 100
    """A bin with more training samples than this is many-shot."""
    few_below: PositiveInt = 20
    """A bin with fewer training samples than this is few-shot."""

    @model_validator(mode="before")
    @classmethod
    def _named_bins(cls, data: Any) -> Any:
        """Bins that give a width or edges need not say which of the two they are."""
        bins = data.get("bins") if isinstance(data, dict) else None
        if isinstance(bins, dict) and "name" not in bins:
            return {**data, "bins": {"name": "edges" if "edges" in bins else "width", **bins}}
        return data

    @model_validator(mode="after")
    def _one_split(self) -> "Labelled":
        if self.few_below > self.many_above + 1:
            raise ValueError(
                f"few_below ({self.few_below}) must not exceed many_above + 1 ({self.many_above + 1})"
            )
        changed = {"split_seed", "held_out_per_bin"} & self.model_fields_set
        if self.split_column is not None and any(
            getattr(self, name) != type(self).model_fields[name].default for name in changed
        ):
            names = " and ".join(sorted(changed))
            raise ValueError(f"split_column decides the split, so {names} would do nothing; leave it out")
        return self


class Csv(Labelled):
    """Any table with a numeric target."""

    kind: ClassVar = "tables"
    label_unit: ClassVar = ""
    metrics: ClassVar = USUAL_METRICS
    shot_note: ClassVar = ""
    name: Literal["csv"] = "csv"
    categorical: tuple[str, ...] = ()
    """Columns to one-hot encode besides those that hold text."""
    ignore: tuple[str, ...] = ()
    """Columns that are no input."""


class Images(Labelled):
    """A folder of images with a table of labels; `dirsweep data prepare FILE` decodes them once."""

    kind: ClassVar = "images"
    label_unit: ClassVar = ""
    metrics: ClassVar = USUAL_METRICS
    shot_note: ClassVar = ""
    name: Literal["images"] = "images"
    image_column: str
    """Column that names the image file."""
    folder: str | None = None
    """Where those names start; a relative path starts at the folder of the file that names it. null: the
    folder of the table."""
    numbers: tuple[str, ...] = ()
    """Columns of numbers that are fed to the model beside the image."""
    size: PositiveInt = 64
    """Height and width, in pixels, that every image is scaled to."""
    channels: Literal["grey", "rgb"] = "rgb"
    """Whether images are kept in grey or in colour."""
    most_unreadable: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Share of the images that may fail to decode; they are left out and listed."""
    store: str | None = None
    """Folder of the decoded images; a relative path starts at the folder of the file that names it. null: in
    the user's cache (DIRSWEEP_CACHE)."""


class Faces(Config):
    """A benchmark of faces: age in bins of a year, the benchmark's own split."""

    kind: ClassVar = "images"
    label_unit: ClassVar = "years"
    metrics: ClassVar = USUAL_METRICS
    shot_note: ClassVar = ""
    size: PositiveInt = 224
    """Height and width of an image in pixels."""
    path: str | None = None
    """Folder that `dirsweep data prepare` made, relative to the file that names it. null: where the command
    puts it by itself."""


class AgeDBDir(Faces):
    """AgeDB-DIR: 16,488 faces, age in bins of a year, the benchmark's own split."""

    name: Literal["agedb_dir"] = "agedb_dir"


class IMDBWikiDir(Faces):
    """IMDB-WIKI-DIR: about 213,500 faces, age in bins of a year, the benchmark's own split."""

    name: Literal["imdb_wiki_dir"] = "imdb_wiki_dir"


class StsBDir(Config):
    """STS-B-DIR: 7,249 sentence pairs, similarity 0 to 5 in bins of 0.1, the benchmark's own split."""

    kind: ClassVar = "sentence pairs"
    label_unit: ClassVar = ""
    metrics: ClassVar = ("mse", "pearson")
    name: Literal["sts_b_dir"] = "sts_b_dir"
    path: str | None = None
    """Folder of the benchmark's three TSV files; a relative path starts at the folder of the file that names
    it. null: where `dirsweep data prepare sts-b-dir` put them, or below the folder DIRSWEEP_DATA."""
    shots: Literal["published", "rule"] = "published"
    """Few-shot bins by the list that published results rest on, or by the rule alone (the list makes five
    bins of 20 to 27 training pairs few that the rule calls median)."""

    @property
    def shot_note(self) -> str:
        """By what the shots are cut."""
        if self.shots == "rule":
            return "Shots by the rule, not by the benchmark's published list."
        return "Shots by the benchmark's published list, not by the rule (dataset.shots)."


DatasetConfig = Annotated[
    Diamonds | Csv | Images | StsBDir | AgeDBDir | IMDBWikiDir, Field(discriminator="name")
]
KINDS = {
    model.model_fields["name"].default: model.kind
    for model in (Diamonds, Csv, Images, StsBDir, AgeDBDir, IMDBWikiDir)
}
"""What the inputs of each dataset are, by its name."""
PLACES = ("path", "folder", "store")
"""Keys of a dataset that say where files lie, and nothing of what is in them."""
