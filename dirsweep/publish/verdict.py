"""What `finalize` found, as far as a summary repeats it: the primary comparison and the words."""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER, PAGE = "finalize", "verdict.md"
FILES = (PAGE, "verdict.json", "per_seed.csv")
WORDS = "## In words"


@dataclass(frozen=True)
class Judgement:
    """The last verdict on a sweep.

    said: "better", "worse" or "not distinguishable", of the primary comparison.
    pair: what that compares: "trial 5 against mu0 on few".
    metrics: its difference with the ends of its interval, and its p-value, as far as there are any.
    words: the sentences of the page's end, the primary comparison last.
    time: unix seconds of the opening of test.
    """

    said: str
    pair: str
    metrics: dict[str, float]
    words: list[str]
    time: float


def judgement(sweep: Path) -> Judgement | None:
    """The verdict in the folder of a sweep, if there is one. ValueError if its files are damaged."""
    place = sweep / FOLDER
    if not (place / PAGE).exists():
        return None
    try:
        tree = json.loads((place / "verdict.json").read_text())
        primary = next(one for one in tree["comparisons"] if one["primary"])
        found = primary["difference"]
        numbers = {
            name: found[key] for name, key in (("difference", "estimate"), ("low", "low"), ("high", "high"))
        }
        metrics = {f"verdict/{name}": value for name, value in {**numbers, "p": primary["p_value"]}.items()}
        time = tree["opening"]["time"]
        pair = f"{_label(primary['configuration'])} against {primary['against']} on {primary['shot']}"
        said = primary["verdict"]
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise ValueError(
            f"{place / 'verdict.json'}: the file is damaged ({error!r}); put it back from "
            f"{place}/opening-N/, which has that of each opening"
        ) from None
    kept = {name: float(value) for name, value in metrics.items() if value is not None}
    return Judgement(said, pair, kept, _words((place / PAGE).read_text()), time)


def _words(page: str) -> list[str]:
    """The bullets under the last heading, each on one line."""
    text = page.partition(WORDS)[2].strip()
    return [" ".join(item.split()) for item in text.removeprefix("- ").split("\n- ") if item.strip()]


def _label(name: str) -> str:
    return f"trial {name}" if name.isdecimal() else name
