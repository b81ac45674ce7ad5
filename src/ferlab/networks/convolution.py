"""Convolution, computed where it is otherwise slow: small maps, in bf16, on a CPU with AMX."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

LARGEST_MAP = 8
"""Side, in pixels, up to which a matrix product is faster (docs/speed.md)."""


class Convolution(nn.Conv2d):
    """PyTorch's, whose training steps take a third to a half less time for small maps.

    There oneDNN has hardly a row of pixels to fill an AMX tile with. One matrix product over the
    windows of all images has thousands of rows (im2col: Chellapilla et al. 2006).
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (_pays(input) and self._keeps_size):
            return super().forward(input)
        maps: Tensor = ProductConvolution.apply(input.bfloat16(), self.weight.bfloat16())
        return maps if self.bias is None else maps + self.bias.bfloat16()[:, None, None]

    @property
    def _keeps_size(self) -> bool:
        """Whether the maps keep their size, one output per window of a square around its pixel."""
        side = self.kernel_size[0]
        return (
            side > 1
            and self.kernel_size == (side, side)
            and (self.padding == "same" or (side % 2 == 1 and self.padding == (side // 2,) * 2))
            and self.stride == self.dilation == (1, 1)
            and self.groups == 1
        )


class ProductConvolution(torch.autograd.Function):
    """Convolution as a product of two matrices, and so its two gradients."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:
        """Return maps (B, O, H, W), channels last.

        Args:
            ctx: autograd's.
            maps: (B, C, H, W).
            weight: (O, C, K, K).
        """
        side = weight.shape[-1]
        windows = _windows(maps, side, before=(side - 1) // 2)  # as PyTorch pads for 'same'
        ctx.save_for_backward(windows, weight)
        return _convolve(windows, weight, maps.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        windows, weight = ctx.saved_tensors
        n_outputs, n_inputs, side, _ = weight.shape
        of_weight = gradient.movedim(1, 3).reshape(-1, n_outputs).t() @ windows
        of_weight = of_weight.view(n_outputs, side, side, n_inputs).movedim(3, 1)
        if not ctx.needs_input_grad[0]:
            return None, of_weight
        # Each input pixel was seen from the outputs around it, through the weights turned round.
        windows = _windows(gradient, side, before=side // 2)
        return _convolve(windows, weight.flip(2, 3).transpose(0, 1), gradient.shape), of_weight


def _pays(maps: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and maps.device.type == "cpu"
        and max(maps.shape[-2:]) <= LARGEST_MAP
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and _has_amx()
    )


@functools.cache
def _has_amx() -> bool:
    return hasattr(torch.cpu, "get_capabilities") and bool(
        torch.cpu.get_capabilities().get("amx_bf16")
    )


def _windows(maps: Tensor, side: int, before: int) -> Tensor:
    """Return the window around each pixel of maps (B, C, H, W), zeros beyond the rim.

    A row is a window: (B · H · W, side · side · C).

    Args:
        maps: (B, C, H, W).
        side: of a window, in pixels.
        before: its pixels above and left of the one it is around.
    """
    after = side - 1 - before
    padded = pad(maps.movedim(1, 3), (0, 0, before, after, before, after))  # (B, .., .., C)
    windows = padded.unfold(1, side, 1).unfold(2, side, 1)  # (B, H, W, C, side, side)
    return windows.movedim(3, 5).flatten(3).flatten(0, 2)


def _convolve(windows: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """Return maps (B, O, H, W), channels last, of windows of maps (B, .., H, W).

    Args:
        windows: rows of `_windows`.
        weight: (O, C, K, K).
        shape: of the maps.
    """
    matrix = weight.movedim(1, 3).flatten(1)  # (O, K · K · C), in the order of a window
    return (windows @ matrix.t()).view(shape[0], *shape[2:], -1).movedim(3, 1)
