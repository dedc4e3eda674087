"""The rows that a registered model takes: their columns, made-up ones as an example, predictions for them.

They are the rows of `dirsweep predict`, but an image comes as the content of its file and not as a name: who
asks a server has no files there, and must not be able to have it read any.
"""

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dirsweep.storage import Folder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from dirsweep.data import Encoding, TableEncoding

SENTENCES = (
    ("A man plays the guitar.", "Someone is making music."),
    ("The dog runs in the park.", "A cat sleeps on the sofa."),
    ("She reads a book.", "She is reading a book."),
)


def encoding(trial: Folder) -> "Encoding":
    """How a finished trial turns rows into inputs. ValueError if it is not finished or a file is damaged."""
    from dirsweep import data

    if not trial.exists("metrics.json"):
        raise ValueError(f"{trial}: no finished trial (it has no metrics.json)")
    try:
        return data.read_encoding(json.loads(trial.read("inputs.json"))["encoding"])
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{trial}/inputs.json: the file is damaged ({error}); train the trial again in another folder"
        ) from None


def columns(encoding: "Encoding") -> dict[str, str]:
    """MLflow's type of each input column: "double", "string", or "binary" (the content of an image file)."""
    from dirsweep.data import ImageEncoding, PairEncoding
    from dirsweep.data.encoding import Categorical

    match encoding:
        case PairEncoding():
            return {encoding.first: "string", encoding.second: "string"}
        case ImageEncoding():
            return {encoding.column: "binary"} | (columns(encoding.numbers) if encoding.numbers else {})
    return {
        column.column: "string" if isinstance(column, Categorical) else "double"
        for column in encoding.columns
    }


def example(encoding: "Encoding") -> "pd.DataFrame":
    """Three made-up rows with those columns: no row of the data goes into a registry.

    Numbers are the training mean and one deviation to either side, categories the first ones there are.
    """
    import pandas as pd

    from dirsweep.data import ImageEncoding, PairEncoding

    match encoding:
        case PairEncoding():
            return pd.DataFrame(SENTENCES, columns=[encoding.first, encoding.second])
        case ImageEncoding():
            beside = _cells(encoding.numbers) if encoding.numbers else {}
            picture = _grey_image(encoding.size)
            return pd.DataFrame({encoding.column: [picture] * 3} | beside)
    return pd.DataFrame(_cells(encoding))


def _cells(encoding: "TableEncoding") -> dict[str, list[Any]]:
    from dirsweep.data.encoding import Categorical

    found: dict[str, list[Any]] = {}
    for column in encoding.columns:
        if isinstance(column, Categorical):
            levels: list[str | None] = [level for level in column.levels if level is not None] or [None]
            found[column.column] = [levels[row % len(levels)] for row in range(3)]
        else:
            values = (column.mean + step * column.std for step in (-1, 0, 1))
            found[column.column] = [float(f"{value:.4g}") for value in values]
    return found


def _grey_image(size: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (size, size), 128).save(file, "PNG")
    return file.getvalue()


def predict(trial: Folder, frame: "pd.DataFrame") -> "NDArray[np.float64]":
    """Predictions (N,) in label units for N rows: those of `dirsweep predict`, to the last bit.

    Raises:
        ValueError: as `pipeline.predict`; or there are no rows, or an image is not given as bytes.
    """
    from dirsweep import pipeline
    from dirsweep.data import ImageEncoding

    if len(frame) == 0:
        raise ValueError("there are no rows to predict for")
    wanted = encoding(trial)
    if not isinstance(wanted, ImageEncoding) or wanted.column not in frame.columns:
        return pipeline.predict(trial, frame)
    with tempfile.TemporaryDirectory(prefix="dirsweep-") as place:
        names = []
        for row, content in enumerate(frame[wanted.column], 1):
            if not isinstance(content, bytes):
                raise ValueError(
                    f"row {row}: column {wanted.column!r} must hold the content of an image file (bytes, or "
                    f"base64 in JSON), but holds {type(content).__name__}"
                )
            names.append(f"{row}")
            Path(place, names[-1]).write_bytes(content)
        try:
            return pipeline.predict(trial, frame.assign(**{wanted.column: names}), Path(place))
        except ValueError as error:
            raise ValueError(str(error).replace(f"{place}/", "")) from None
