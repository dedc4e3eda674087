"""Where the figures come from: code, packages, data, seeds and the search space itself."""

import json
import time
from collections.abc import Sequence

from dirsweep.report.html.markup import Html, joined, tag
from dirsweep.report.html.table import plain_table
from dirsweep.report.load import SweepReport
from dirsweep.search.spec import FILE
from dirsweep.storage import Record


def provenance(report: SweepReport, records: Sequence[Record]) -> Html:
    """The section's content, from the ledger's first record."""
    opening = records[0]
    config = report.spec.default_config()
    versions = opening.get("versions", {})
    resources = opening.get("resources") or {}
    facts = [
        ("folder", str(report.folder.absolute())),
        ("begun", _when(opening["time"])),
        ("last record", _when(records[-1]["time"])),
        ("git commit", opening.get("git", "")),
        ("method version", str(opening.get("method_version", ""))),
        ("data", config.dataset.name),
        ("data hash", opening.get("data", "")),
        ("search space hash", opening.get("spec", "")),
        ("hash of the encoder's files", opening.get("encoder", "")),
        ("constraints.txt hash", opening.get("constraints", "")),
        ("seed of the trials", str(config.seed)),
        ("seed of the sampler", str(report.spec.seed)),
        (
            "mode, sampler, scheduler",
            f"{report.spec.mode.name}, {report.spec.sampler.name}, {report.spec.scheduler.name}",
        ),
        ("device, precision, threads", f"{config.device}, {config.precision}, {config.threads}"),
        ("resources", ", ".join(f"{name} {json.dumps(value)}" for name, value in resources.items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    rows = [(name, tag("code", value) if value else "not recorded") for name, value in facts]
    spec = report.folder.read(FILE).decode(errors="replace")
    return joined(
        plain_table("Provenance", ("fact", "value"), rows, texts=(0, 1)),
        tag("details", tag("summary", f"The search space ({FILE})"), tag("pre", spec, tabindex="0")),
    )


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
