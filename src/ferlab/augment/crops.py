"""Crops of a batch: one of each image in training, several of all at test time."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ferlab.augment.transforms import Draws
from ferlab.checks import check_choice

TEST_TIME = ("none", "flip", "ten_crop")
"""What a network may see of each test image: the image, its mirror image too, or ten crops."""

_PADDING = 2  # pixels that the border is repeated for, where the network sees whole images


def crop_at(images: Tensor, size: int, corners: Tensor) -> Tensor:
    """Return a crop of each image at its own place: (B, 1, size, size).

    Args:
        images: (B, 1, H, W), at least `size` in both directions.
        size: side of the crop, pixels.
        corners: int64 (B, 2), column and row of the crop's first pixel.
    """
    pixels = torch.arange(size, device=images.device)
    columns, rows = (corners[..., None] + pixels).unbind(dim=1)  # (B, size) each
    of_image = torch.arange(len(images), device=images.device)[:, None, None]
    return images[of_image, 0, rows[:, :, None], columns[:, None, :]][:, None]


def drawn_corners(draws: Tensor, room: int) -> Tensor:
    """Return where random crops begin: int64 (..., 2), column and row of the first pixel.

    Args:
        draws: float32 (..., len(Draws)) in [0, 1).
        room: the last place at which a crop can begin, pixels.
    """
    drawn = Draws(*draws.unbind(dim=-1))
    return (torch.stack([drawn.window_x, drawn.window_y], dim=-1) * (room + 1)).long()


def views_at_test_time(images: Tensor, kind: str, size: int) -> Tensor:
    """Return what the network sees of each image: (V, B, 1, size, size).

    `none` is the centre (V = 1), `flip` adds its mirror image (V = 2). `ten_crop` is the four
    corners and the centre, each with its mirror image (V = 10; Krizhevsky et al. 2012). Where the
    network sees whole images, they are padded by two pixels first and so shifted, not enlarged:
    resampling blurs, and a network may have learned that only certain classes are blurred.

    Args:
        images: float32 (B, 1, H, W), square.
        kind: one of TEST_TIME.
        size: side of what the network sees, pixels, at most H.
    """
    check_choice("augment.test_time", kind, TEST_TIME)
    if kind == "ten_crop" and size == images.shape[-1]:
        images = F.pad(images, [_PADDING] * 4, mode="replicate")
    far = images.shape[-1] - size
    middle = far // 2
    corners = [(0, 0), (0, far), (far, 0), (far, far)] if kind == "ten_crop" else []
    views = [
        images[..., top : top + size, left : left + size]
        for top, left in [(middle, middle), *corners]
    ]
    if kind != "none":
        views += [view.flip(-1) for view in views]
    return torch.stack(views)
