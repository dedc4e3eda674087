"""A dataset in plain text: how its training labels spread over the bins, and which shots that makes."""

import numpy as np

from dirsweep.data.dataset import Dataset
from dirsweep.shots import NAMES, Shots

MOST_LINES = 40
BAR = 36


def describe(dataset: Dataset) -> str:
    """Split sizes, the table of shots, the histogram of training labels and the hash."""
    sizes = ", ".join(f"{side} {count:,}" for side, count in dataset.sizes.items())
    return "\n".join(
        [
            f"{dataset.name}: predict {dataset.target}",
            f"from: {dataset.encoding.summary}",
            f"rows: {sizes} (test is sealed)",
            "",
            shot_table(dataset),
            *_listed(dataset.shots),
            "",
            f"training rows by {dataset.target}:",
            "",
            histogram(dataset),
            "",
            f"hash {dataset.hash}",
        ]
    )


def _listed(shots: Shots) -> list[str]:
    """The bins that are few by a list and not by the rule."""
    if not shots.few_listed:
        return []
    named = ", ".join(f"{b} ({shots.counts[b]})" for b in shots.few_listed)
    return [f"few by the published list, whatever the rule says: bins {named}"]


def shot_table(dataset: Dataset) -> str:
    """Bins, training rows and val rows of each shot, one a line."""
    shots = dataset.shots
    rule = {
        "many": f"more than {shots.many_above} training rows in the bin",
        "median": f"{shots.few_below} to {shots.many_above}",
        "few": f"fewer than {shots.few_below}",
        "zero": "none (these bins are among the few)",
    }
    names = [*NAMES, "zero"] if shots.masks["zero"].any() else list(NAMES)
    lines = [f"{'shot':<8}{'bins':>6}{'train':>10}{'val':>8}   rule"]
    for name in names:
        mask = shots.masks[name]
        train, val = int(shots.counts[mask].sum()), int(mask[dataset.val.bin].sum())
        lines.append(f"{name:<8}{int(mask.sum()):>6}{train:>10,}{val:>8,}   {rule[name]}")
    total = len(shots.bins)
    lines.append(f"{'all':<8}{total:>6}{int(shots.counts.sum()):>10,}{len(dataset.val.bin):>8,}")
    return "\n".join(lines)


def histogram(dataset: Dataset) -> str:
    """Training rows over the label range, a line for one bin or for a few neighbouring ones."""
    shots = dataset.shots
    edges, size = shots.bins.edges, -(-len(shots.bins) // MOST_LINES)
    starts = range(0, len(shots.bins), size)
    blocks = [slice(start, min(start + size, len(shots.bins))) for start in starts]
    rows = [int(shots.counts[block].sum()) for block in blocks]
    digits = _digits(edges[[block.start for block in blocks] + [-1]])
    low = [f"{edges[block.start]:,.{digits}f}" for block in blocks]
    high = [f"{edges[block.stop]:,.{digits}f}" for block in blocks]
    bars = [_bar(count / max(rows)) for count in rows]
    wide, count_wide = max(map(len, low + high)), max(len(f"{count:,}") for count in rows)
    lines = [
        f"{a:>{wide}} to {b:>{wide}}  {count:>{count_wide},}  {bar:<{BAR}}  {_shots(shots, block)}"
        for a, b, count, bar, block in zip(low, high, rows, bars, blocks, strict=True)
    ]
    if size > 1:
        lines.append(f"(a line takes {size} bins)")
    return "\n".join(lines)


def _bar(share: float) -> str:
    """A bar of up to `BAR` characters in eighths; whatever is not 0 shows."""
    eighths = max(round(share * BAR * 8), int(share > 0))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _shots(shots: Shots, block: slice) -> str:
    if not shots.counts[block].any():
        return "zero"
    return " and ".join(name for name in NAMES if (shots.names[block] == name).any())


def _digits(edges: np.ndarray) -> int:
    """Fewest decimals (at most 6) that keep the edges apart and true to a hundredth of a step."""
    step = np.diff(edges).min()
    return next((d for d in range(6) if np.abs(np.round(edges, d) - edges).max() < step / 100), 6)
