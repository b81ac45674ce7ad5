"""Modules that rows share, and those that PyTorch does not have."""

import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from ferlab.networks.convolution import Convolution
from ferlab.networks.rows import ACTIVATIONS, BatchNorm, Residual


def make_convolution(
    n_inputs: int,
    filters: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int | str = "same",
    groups: int = 1,
    bias: bool = True,
) -> Convolution:
    """Return a convolution; arguments as of `rows.Convolution`."""
    if padding == "same" and stride > 1:
        padding = kernel // 2  # the same for odd kernels; PyTorch has no 'same' with a stride
    return Convolution(n_inputs, filters, kernel, stride, padding, groups=groups, bias=bias)


def make_batch_norm(norm: BatchNorm, n_channels: int, *, of_maps: bool) -> nn.Module:
    """Return a batch normalisation of maps (B, C, H, W), or else of vectors (B, C)."""
    module = nn.BatchNorm2d if of_maps else nn.BatchNorm1d
    return module(n_channels, eps=norm.epsilon, momentum=norm.momentum)


RISING = ("relu", "elu", "tanh")
"""Activations that never fall: the largest of their values is the value of the largest."""


def make_activation(name: str) -> nn.Module:
    """Return the activation that ACTIVATIONS lists under `name`."""
    in_torch = ACTIVATIONS[name]
    module: nn.Module = getattr(nn, in_torch)() if in_torch else nn.Identity()
    return module


class PackedDropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) whose masks are cheap on a CPU too.

    There PyTorch draws each value of a mask by itself, for Model F a seventh of a training step;
    here four values share the bits of one draw. The probability is rounded to 1 / 65,536, and by
    what it then is the kept values are scaled up.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or inputs.device.type != "cpu":
            return super().forward(inputs)
        dropped = min(round(self.p * 2**16), 2**16 - 1)  # of the 65,536 numbers of 16 bits
        draws = torch.empty(-(-inputs.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        numbers = draws.view(torch.int16)[: inputs.numel()]  # from -32,768 on
        strides = torch.empty_like(inputs, device="meta").stride()  # channels may come last
        kept = numbers.as_strided(inputs.shape, strides) >= dropped - 2**15
        return inputs * kept.to(inputs.dtype).mul_(2**16 / (2**16 - dropped))


def make_squeeze_excite(n_channels: int, reduction: int) -> nn.Module:
    """Return a squeeze-and-excitation of maps (B, C, H, W)."""
    module: nn.Module = SqueezeExcitation(n_channels, n_channels // reduction)
    return module


class ResidualBlock(nn.Module):
    """The block of a `rows.Residual`: maps (B, C, H, W) to (B, filters, H / stride, W / stride)."""

    def __init__(self, n_inputs: int, row: Residual) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_convolve(n_inputs, row.filters, row.kernel, row.stride, row.batch_norm),
            make_activation(row.activation),
            *_convolve(row.filters, row.filters, row.kernel, 1, row.batch_norm),
        )
        if row.squeeze_excite:
            self.residual.append(make_squeeze_excite(row.filters, row.squeeze_excite))
        self.shortcut = nn.Sequential()
        if row.stride > 1 or n_inputs != row.filters:
            self.shortcut.extend(_convolve(n_inputs, row.filters, 1, row.stride, row.batch_norm))
        self.activation = make_activation(row.activation)

    def forward(self, maps: Tensor) -> Tensor:
        added: Tensor = self.activation(self.residual(maps) + self.shortcut(maps))
        return added


def _convolve(
    n_inputs: int, filters: int, kernel: int, stride: int, norm: BatchNorm | None
) -> list[nn.Module]:
    bias = norm is None  # the normalisation would take it off again
    convolution = make_convolution(n_inputs, filters, kernel, stride=stride, bias=bias)
    return [convolution, make_batch_norm(norm, filters, of_maps=True)] if norm else [convolution]


def make_torchvision(name: str, n_inputs: int) -> nn.Module:
    """Return a network of torchvision from random weights: maps (B, C, H, W) to features (B, D).

    Args:
        name: one of `rows.TORCHVISION`.
        n_inputs: channels of the maps.
    """
    make = {"resnet18": torchvision.models.resnet18, "resnet34": torchvision.models.resnet34}[name]
    network: nn.Module = make(weights=None)
    stem = nn.Conv2d(n_inputs, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as the others
    network.conv1 = stem
    network.maxpool = nn.Identity()
    network.fc = nn.Identity()
    return network
