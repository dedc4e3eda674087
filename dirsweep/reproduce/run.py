"""`reproduce` is the diagram: search, train over fresh seeds, record the opening, open test, judge, write.

All of it goes on where it was interrupted; what is trained is kept, and test is opened when all is trained.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from dirsweep import METHOD_VERSION, data
from dirsweep.data import Dataset
from dirsweep.finalize import training
from dirsweep.finalize.judge import judged, shot_errors
from dirsweep.finalize.notes import failures
from dirsweep.finalize.opening import content, elsewhere, predict_test, record
from dirsweep.finalize.training import Run
from dirsweep.ledger import FILE, Ledger
from dirsweep.pictures import norms_of_runs
from dirsweep.published import published
from dirsweep.report.numbers import SHOTS
from dirsweep.reproduce import tuning
from dirsweep.reproduce.facts import Facts
from dirsweep.reproduce.generated import drawn, to_draw
from dirsweep.reproduce.observation import observed
from dirsweep.reproduce.page import html, page
from dirsweep.reproduce.per_seed import per_seed
from dirsweep.reproduce.recipe import TWO_STAGE, Recipe, Size, alone, check
from dirsweep.reproduce.tuning import Table
from dirsweep.storage import Folder
from dirsweep.sweep import Resources, lock, stopping
from dirsweep.sweep.session import ray_session
from dirsweep.sweep.store import store_of

PAGE, HTML, SEEDS, PICTURE = "table.md", "table.html", "per_seed.csv", "norms.svg"


def reproduce(
    recipe: Recipe, scale_name: Size, folder: Path, resources: Resources, told: Callable[[str], None]
) -> str:
    """Run a recipe and give its page of Markdown, which also lies in `folder`.

    Args:
        scale_name: "smoke", "small" or "full".
        folder: of this reproduction; begun before with the same recipe, it goes on.
        told: is handed a line for each search and run.

    Raises:
        ValueError: another recipe was begun in the folder, the data are missing or do not fit, the resources
            do not serve its trials, or the primary comparison has no seed on both sides.
        KeyboardInterrupt: stopped; the same call goes on.
    """
    scale = recipe.scales[scale_name]
    check(recipe, scale)
    resources.check(alone(recipe, scale, "vanilla").default_config())
    labels = to_draw(recipe, scale)
    if labels is None:
        data.load(alone(recipe, scale, "vanilla").default_config().dataset)  # before a folder is made for it
    place = Folder(folder)
    with lock.held(place):
        stopping.remove_mark(place)
        if labels is not None:
            recipe = drawn(recipe, scale, labels, folder, told)
        first = alone(recipe, scale, "vanilla").default_config()
        dataset = data.load(first.dataset)
        data.check_test(first.dataset)
        ledger = _ledger(place, recipe, scale_name, dataset)
        with ray_session(resources):
            table = tuning.table(recipe, scale, place, resources, told)
            runs = training.runs(table.rows, training.fresh_seeds(first.seed, scale.seeds), place)
            todo = [run for run in runs if not run.done]
            store = store_of(place / tuning.SWEEPS)
            failed = training.train(todo, place, store, resources, told) if todo else {}
        done = [run for run in runs if run.done]
        _require_pairs(table, done, failed)
        data.check_test(first.dataset)  # again, before its opening is recorded: searches take long
        opening = record(ledger, content(table, done, dataset), elsewhere(place, dataset))
        unsealed, errors, senseless = predict_test(done, first.dataset)
        rows, shots = unsealed.rows, unsealed.shots
        masks = {shot: shots.masks[shot][rows.bin] for shot in SHOTS}
        facts = Facts(
            recipe=recipe,
            scale=scale_name,
            generated=labels is not None,
            opening=opening,
            seeds=sorted({run.seed for run in runs}),
            samples={shot: int(mask.sum()) for shot, mask in masks.items()},
            notes=[*table.left_out, *failures(failed | senseless)],
        )
        text = page(
            facts,
            table,
            done,
            shot_errors(table, errors, masks, rows),
            judged(table, errors, masks, rows.group),
            published(recipe.published, recipe.family),
            observed(table, done),
        )
        picture = norms_of_runs(_pictured(table, done))
        place.put(SEEDS, per_seed(table, done, errors, unsealed))
        place.put(PICTURE, picture)
        place.put(HTML, html(text, {PICTURE: picture}).encode())
        place.put(PAGE, text.encode())
    return text


def _ledger(folder: Folder, recipe: Recipe, scale: str, dataset: Dataset) -> Ledger:
    """The reproduction's own ledger: what it was begun with, and its openings of test."""
    tree = recipe.model_dump(mode="json", by_alias=True, exclude={"title", "about"})
    begun = {
        "recipe": hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest(),
        "scale": scale,
        "data": dataset.hash,
        "method_version": METHOD_VERSION,
    }
    if not folder.has_records(FILE):
        return Ledger.create(folder, trials=0, **begun)  # its sweeps ask theirs
    ledger = Ledger.open(folder)
    for name, value in begun.items():
        if ledger.opening.get(name) != value:
            raise ValueError(
                f"{folder}/{FILE}: begun with {name} {ledger.opening.get(name)}, but here it is {value}; "
                "choose another --out"
            )
    return ledger


def _require_pairs(table: Table, runs: Sequence[Run], failed: dict[Run, str]) -> None:
    """ValueError, before test is opened, if the primary comparison has no seed on both sides."""
    sides = (table.primary.ours.hash, table.primary.theirs.hash)
    ours, theirs = ({run.seed for run in runs if run.row.hash == side} for side in sides)
    if not ours & theirs:
        raise ValueError(
            "no seed of two-stage and of vanilla could be trained, so test stays closed: "
            + "; ".join(failures(failed))
        )


def _pictured(table: Table, runs: Sequence[Run]) -> dict[str, Folder]:
    """The first run of the plain model and of the two-stage method."""
    wanted = {"vanilla": ("vanilla", ""), "two-stage": (TWO_STAGE, "stage2")}
    found = {}
    for title, key in wanted.items():
        line = table.line(*key)
        own = [run for run in runs if line is not None and run.row.hash == line.row.hash]
        if own:
            found[title] = own[0].folder
    return found
