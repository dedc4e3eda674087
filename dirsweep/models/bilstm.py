"""A bidirectional LSTM over frozen word vectors, for sentence pairs, as the STS-B-DIR benchmark has it.

Both sentences go through the same layers; u and v are the largest values over the words of each, and z =
[u; v; |u - v|; u * v]. The last LSTM layer with all that follows is the last block; what is before it,
dropout included, the stem.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dirsweep.config import BiLSTM
from dirsweep.data import Pairs
from dirsweep.models import word_vectors
from dirsweep.models.word_vectors import PADDING, UNKNOWN

Words = tuple[Tensor, Tensor]
"""(B, 2, L, d) a vector for each word of both sentences, and (B, 2) their lengths in words."""


class BiLSTMEncoder(nn.Module):
    """Numbers of words (B, 2, L) to z (B, 8 * hidden)."""

    evaluation_batch = 512

    def __init__(self, config: BiLSTM) -> None:
        super().__init__()
        self.features = 8 * config.hidden
        table = torch.from_numpy(word_vectors.load(config.vectors, config.vocabulary).table)
        sizes = [table.shape[1]] + [2 * config.hidden] * (config.layers - 1)
        layers = [BothWays(size, config.hidden) for size in sizes]
        dropout = [nn.Dropout(config.dropout)] if config.dropout else []
        before = [part for layer in layers[:-1] for part in (layer, *(OnWords(drop) for drop in dropout))]
        self.stem = nn.Sequential(LookUp(table), *(OnWords(drop) for drop in dropout), *before)
        self.last_block = nn.Sequential(layers[-1], PairOfLargest())


class LookUp(nn.Module):
    """Numbers of words (B, 2, L) to their vectors; the table is neither trained nor kept with the weights."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table, persistent=False)

    def forward(self, numbers: Tensor) -> Words:
        """Vectors and lengths; a sentence has at least one word."""
        return self.table[numbers], (numbers != PADDING).sum(2)


class OnWords(nn.Module):
    """A layer on the vectors alone."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, words: Words) -> Words:
        """The lengths stay."""
        return self.layer(words[0]), words[1]


class BothWays(nn.Module):
    """One LSTM layer in both directions, each beginning at the sentence's own end: d becomes 2 * hidden."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)

    def forward(self, words: Words) -> Words:
        """Behind a sentence's end the outputs are 0."""
        vectors, lengths = words
        flat = vectors.flatten(0, 1)  # (2 B, L, d)
        packed = pack_padded_sequence(flat, lengths.flatten().cpu(), batch_first=True, enforce_sorted=False)
        found, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=flat.shape[1])
        return found.unflatten(0, vectors.shape[:2]), lengths


class PairOfLargest(nn.Module):
    """The largest value over the words of each sentence, u and v, to [u; v; |u - v|; u * v]: (B, 4 d)."""

    def forward(self, words: Words) -> Tensor:
        """Places behind a sentence's end do not count."""
        vectors, lengths = words
        place = torch.arange(vectors.shape[2], device=vectors.device)
        behind = place >= lengths[:, :, None]  # (B, 2, L)
        u, v = vectors.masked_fill(behind[..., None], -torch.inf).amax(2).unbind(1)
        return torch.cat([u, v, (u - v).abs(), u * v], dim=1)


def prepare(config: BiLSTM, pairs: Pairs) -> Tensor:
    """(N, 2, max_length) numbers of the first words of both sentences, PADDING behind them.

    Raises:
        ValueError: the word vectors cannot be read.
    """
    vectors = word_vectors.load(config.vectors, config.vocabulary)
    found = np.full((len(pairs), 2, config.max_length), PADDING, dtype=np.int64)
    for side, sentences in enumerate((pairs.first, pairs.second)):
        for row, sentence in enumerate(sentences):
            numbers = vectors.numbers(str(sentence))[: config.max_length] or [UNKNOWN]
            found[row, side, : len(numbers)] = numbers
    return torch.from_numpy(found)
