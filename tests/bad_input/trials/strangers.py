"""Encoders of a user's own, each wrong in its way."""

import torch
from torch import nn


def encoder(rows):
    return nn.Identity()


class Raises(nn.Module):
    def __init__(self, rows):
        raise KeyError("layers")


class Plain(nn.Module):
    """Nothing is wrong with it."""

    def __init__(self, rows):
        super().__init__()
        self.features, self.stem, self.last_block = 4, nn.Linear(rows.shape[1], 4), nn.ReLU()


class NoStem(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.features, self.last_block = 4, nn.ReLU()


class HalfFeatures(Plain):
    def __init__(self, rows):
        super().__init__(rows)
        self.features = 4.5


class Normed(Plain):
    def __init__(self, rows):
        super().__init__(rows)
        self.last_block = nn.BatchNorm1d(4)


class Narrow(Plain):
    def __init__(self, rows):
        super().__init__(rows)
        self.last_block = nn.Linear(3, 4)


class Wide(Plain):
    def __init__(self, rows):
        super().__init__(rows)
        self.last_block = nn.Linear(4, 8)


class Unprepared(Plain):
    @staticmethod
    def prepare(inputs):
        return torch.as_tensor(inputs["size"])


class Halved(Plain):
    @staticmethod
    def prepare(inputs):
        return torch.as_tensor(inputs[: len(inputs) // 2])
