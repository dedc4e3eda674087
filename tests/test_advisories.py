"""The pinned versions of constraints.txt against known advisories, as far as that goes without a network.

`advisories.csv` was written by hand in November 2026 from public issues and advisories: for each a version
that is known to be clear of it. A pin that falls back behind one fails here. What this cannot do: it learns
of nothing newer, it knows no package that the table lacks, and an advisory that is missing stays missing;
for these `pip-audit -r constraints.txt`, with a network, is the right tool.
"""

import csv
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("advisories.csv")
ADVISORIES = list(csv.DictReader(TABLE.read_text().splitlines()))
ACCEPTED = {
    ("torch", "2.9.1", "CVE-2025-3000"): r"torch\.jit",
    ("torch", "2.9.1", "PYSEC-2026-139"): r"torch\.export",
}
"""Pins that an advisory reaches (PyTorch on aarch64), with what it concerns: the package has no such call."""


def pins(text: str) -> list[tuple[str, str]]:
    """Package and version of each line of a file of constraints."""
    wanted = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    return [(canonicalize_name(one.name), str(one.specifier).removeprefix("==")) for one in wanted]


def reached(pinned: list[tuple[str, str]]) -> set[tuple[str, str, str]]:
    """Package, version and advisory of each pin that is behind the clear version."""
    return {
        (package, version, advisory["id"])
        for package, version in pinned
        for advisory in ADVISORIES
        if canonicalize_name(advisory["package"]) == package
        and Version(version) < Version(advisory["clear_from"])
    }


def test_no_pinned_version_is_reached_by_an_advisory_that_is_known_here():
    assert reached(pins((ROOT / "constraints.txt").read_text())) == set(ACCEPTED)


@pytest.mark.parametrize(("pin", "call"), ACCEPTED.items())
def test_what_an_accepted_advisory_concerns_is_not_called(pin, call):
    sources = [*(ROOT / "dirsweep").rglob("*.py"), *(ROOT / "docs").rglob("*.py")]
    assert not [file for file in sources if re.search(call, file.read_text())], pin


def test_the_table_is_of_packages_that_are_pinned_each_advisory_once():
    known = {package for package, _ in pins((ROOT / "constraints.txt").read_text())}
    assert {canonicalize_name(one["package"]) for one in ADVISORIES} <= known
    named = [(one["package"], one["id"]) for one in ADVISORIES]
    assert len(set(named)) == len(named)
    assert named == sorted(named, key=lambda name: name[0].lower())
    assert all(re.fullmatch(r"(CVE|PYSEC)-\d{4}-\d+|GHSA(-\w{4}){3}", one["id"]) for one in ADVISORIES)


def test_a_pin_that_falls_back_would_be_found():
    old = pins("# comment\nray==2.53.0\nPillow==13.0.0; python_version > '3'\nrequests==2.32.4\n")
    assert reached(old) == {
        ("ray", "2.53.0", "CVE-2026-27482"),
        ("ray", "2.53.0", "CVE-2026-41486"),
        ("requests", "2.32.4", "CVE-2026-25645"),
    }
