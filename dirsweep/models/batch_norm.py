"""Batch norm over the global batch, where several processes take parts of it through the encoder.

PyTorch has one for GPUs alone; this one serves CPUs too, and takes the variance about the mean, not as a
difference of sums. A batch too small to be cut, which every process takes whole, counts as often as there are
processes; only the running variance's correction for few samples notices.
"""

import torch
from torch import Tensor, nn

from dirsweep.group import Group

BatchNorm = nn.modules.batchnorm._BatchNorm


class GlobalBatchNorm(BatchNorm):
    """As the batch norm whose weights and statistics it takes over; in evaluation no different."""

    def __init__(self, layer: BatchNorm, group: Group) -> None:
        super().__init__(
            layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
        )
        self.group = group
        self.load_state_dict(layer.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, ...) of this process to the same shape."""
        if not self.training:
            return super().forward(x)
        rest = [1] * (x.dim() - 2)
        exact = x.float()
        own = torch.full((1,), x.numel() / x.shape[1], device=x.device)
        count = self.group.total(own)
        mean = self.group.total(self._over_batch(exact)) / count  # (C,)
        apart = exact - mean.view(1, -1, *rest)
        variance = self.group.total(self._over_batch(apart.square())) / count  # (C,)
        self._keep(mean.detach(), (variance * count / (count - 1)).detach())
        scaled = apart * (variance + self.eps).rsqrt().view(1, -1, *rest)
        if self.affine:
            scaled = scaled * self.weight.view(1, -1, *rest) + self.bias.view(1, -1, *rest)
        return scaled.to(x.dtype)

    def _over_batch(self, x: Tensor) -> Tensor:
        """(b, C, ...) to (C,) sums."""
        return x.sum([0, *range(2, x.dim())])

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, where they are kept."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions, as one layer serves all."""


def globally(model: nn.Module, group: Group) -> None:
    """Put a `GlobalBatchNorm` in the place of every batch norm of the model."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, BatchNorm):
                setattr(parent, name, GlobalBatchNorm(layer, group))
