"""What the page of a reproduction rests on, beside its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dirsweep.finalize.opening import Opening
from dirsweep.reproduce.recipe import Recipe, Size


@dataclass(frozen=True)
class Facts:
    """What a reader must know.

    generated: whether images were drawn.
    samples: test samples of each shot.
    notes: what else a reader must know, a sentence each.
    """

    recipe: Recipe
    scale: Size
    generated: bool
    opening: Opening
    seeds: Sequence[int]
    samples: Mapping[str, int]
    notes: Sequence[str]
