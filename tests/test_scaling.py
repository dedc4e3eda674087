"""The simulation of docs/scaling.md, small: so that it cannot rot."""

import subprocess
import sys
from pathlib import Path

import pytest
import sweeping

SCRIPTS = Path(__file__).parent / "benchmarks" / "scaling"
sys.path.insert(0, str(SCRIPTS))

import alone  # noqa: E402
import draw  # noqa: E402

pytestmark = pytest.mark.slow


def test_a_simulated_sweep_says_what_each_trial_costs_its_driver(tmp_path: Path):
    file, folder = tmp_path / "simulated.csv", tmp_path / "sweeps" / "simulated"
    command = [sys.executable, SCRIPTS / "simulate.py", file, "--trials", "6", "--nodes", "3", "--sleep", "0"]
    subprocess.run([*command, "--keep", folder], check=True, timeout=240)
    rows = draw.read(file)
    assert [row["told"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for part in sorted({*draw.PARTS} - {"tracker"}):  # which may still import MLflow
        assert 0 < rows[-1][f"{part}_s"] < rows[-1]["cpu_s"]
    trials = sweeping.trials(folder)
    assert [trial.state for trial in trials.values()].count("COMPLETE") == 6 + 4  # and controls
    assert all(len(trial.reports) == 20 for trial in trials.values() if trial.attempts)
    assert (folder / "trials" / "0" / "records.jsonl").read_text().count("\n") == 20
    assert (folder.parent / "mlflow.db").stat().st_size > 0
    kinds = [record["kind"] for record in sweeping.records(folder)]
    assert kinds.index("ask") < kinds.index("start")  # the three workers started side by side


def test_what_grows_is_measured_at_any_length_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alone, "OPEN", 3)
    found = [{"trials": 12.0, "what": what, "value": value} for what, value, _ in alone.measure(12)]
    assert all(row["value"] > 0 for row in found)
    rows = [*found, *({**row, "trials": 2000.0} for row in found)]
    for what in draw.ASKS:
        assert draw.asks(rows, what)[0] == [12.0, 2000.0]
    parts = {f"{part}_s": 0.01 for part in draw.PARTS}
    simulated = [
        {"told": n, "cpu_s": 0.1 * n, **{name: value * n for name, value in parts.items()}}
        for n in range(1, 301)
    ]
    assert draw.per_trial(simulated, "tune").tolist() == pytest.approx([10.0, 10.0, 10.0])
    assert draw.per_trial(simulated, draw.OTHER).tolist() == pytest.approx([40.0, 40.0, 40.0])
    assert draw.picture(simulated, rows).startswith(b"<?xml")
    judged = draw.judged([{**row, "tracker_calls": row["told"]} for row in simulated], rows)
    assert [value for what, value, _ in judged if "over first" in what] == pytest.approx([1.0] * 6)
