"""Pictures of one finished trial, from its folder alone."""

from dirsweep.pictures.curves import draw_curves
from dirsweep.pictures.errors import draw_errors
from dirsweep.pictures.finished import read_finished
from dirsweep.pictures.norms import draw_norms, norms_of_runs
from dirsweep.pictures.predictions import draw_predictions
from dirsweep.storage import Folder

__all__ = ["draw", "norms_of_runs"]

PICTURES = {
    "pictures/norms.svg": draw_norms,
    "pictures/errors.svg": draw_errors,
    "pictures/predictions.svg": draw_predictions,
    "pictures/curves.svg": draw_curves,
}
"""By name in the trial's folder."""


def draw(folder: Folder, title: str) -> list[str]:
    """Draw all pictures of the finished trial in `folder` into it, and return their names there.

    The same trial and title give the same bytes. ValueError that names the folder or the damaged file if the
    trial is not finished, or not whole.

    Args:
        title: says which trial it is; what its two stages are is written below, from its configuration.
    """
    trial = read_finished(folder)
    made = {name: picture(trial, title) for name, picture in PICTURES.items()}
    for name, content in made.items():
        folder.put(name, content)
    return list(made)
