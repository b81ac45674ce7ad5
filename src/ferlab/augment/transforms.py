"""Random transforms of a batch of grey images, every image with its own parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ferlab.checks import FerlabError, check_number, did_you_mean

_SMALLEST_ERASED = 0.02  # share of the image
_FLATTEST, _STEEPEST = math.log(0.3), math.log(3.3)  # height to width of what is erased


class Draws(NamedTuple):
    """What each uniform random number of an image decides: float32 (B,) each."""

    angle: Tensor
    flip: Tensor
    zoom: Tensor
    right: Tensor
    down: Tensor
    crop_side: Tensor
    crop_x: Tensor
    crop_y: Tensor
    contrast: Tensor
    brightness: Tensor
    rotates: Tensor
    shifts: Tensor
    erases: Tensor
    erased_area: Tensor
    erased_ratio: Tensor
    erased_x: Tensor
    erased_y: Tensor
    window_x: Tensor  # of the crop that the network sees, which is not RandomTransforms' own
    window_y: Tensor


@dataclass(frozen=True)
class RandomTransforms:
    """Rotation, flip, zoom, translation, crop; then contrast and brightness; then erasing.

    A call is a pure function of the images and of uniform random numbers that the caller draws,
    so the same draws give the same images on every device, in every batch and after a resume.
    The five geometric transforms are composed into one affine map per image and applied by a
    single bilinear `grid_sample`; pixels from outside repeat the border, as in Keras'
    `fill_mode='nearest'`.

    Attributes:
        rotation: largest angle, degrees, either way; uniform.
        rotation_p: probability that an image is rotated at all.
        flip: probability of a horizontal flip.
        zoom: largest relative change of scale, either way; uniform. 0.1 is ×0.9 to ×1.1.
        translation: largest shift along each axis, as a fraction of the side, either way; uniform.
        translation_p: probability that an image is shifted at all.
        crop: smallest side of the square crop that is enlarged to the full image, as a fraction
            of the side; side and place are uniform. 1 does not crop.
        brightness: largest relative change of all grey levels, either way; uniform.
        contrast: largest relative change of the distance from the image's mean; uniform.
        erasing: probability that a rectangle turns black (Zhong et al. 2020, "Random Erasing");
            its ratio of sides is log-uniform from 0.3 to 3.3, its place uniform.
        erasing_area: largest share of the image that is erased; uniform from 0.02 on.
    """

    rotation: float = 0.0
    rotation_p: float = 1.0
    flip: float = 0.0
    zoom: float = 0.0
    translation: float = 0.0
    translation_p: float = 1.0
    crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    erasing: float = 0.0
    erasing_area: float = 0.33

    N_DRAWS = len(Draws._fields)
    """Uniform random numbers that one image needs."""

    def __post_init__(self) -> None:
        check_number("augment.transforms.rotation", self.rotation, at_least=0, at_most=180)
        check_number("augment.transforms.crop", self.crop, above=0, at_most=1)
        check_number(
            "augment.transforms.erasing_area",
            self.erasing_area,
            at_least=_SMALLEST_ERASED,
            at_most=1,
        )
        for name in ("rotation_p", "flip", "translation", "translation_p", "erasing"):
            check_number(f"augment.transforms.{name}", getattr(self, name), at_least=0, at_most=1)
        for name in ("zoom", "brightness", "contrast"):
            check_number(f"augment.transforms.{name}", getattr(self, name), at_least=0, below=1)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return the transformed images: float32 (B, 1, H, W) in [0, 1].

        Args:
            images: float32 (B, 1, H, W) in [0, 1].
            draws: float32 (B, N_DRAWS), uniform in [0, 1).
        """
        if draws.shape != (len(images), self.N_DRAWS):
            raise ValueError(
                f"draws must be of shape {(len(images), self.N_DRAWS)}; got {tuple(draws.shape)}"
            )
        named = Draws(*draws.unbind(dim=1))
        grid = F.affine_grid(self._affine(named), list(images.shape), align_corners=False)
        moved = F.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        lit = self._photometric(moved, named)
        return self._erase(lit, named) if self.erasing else lit

    def _affine(self, draws: Draws) -> Tensor:
        """Return the maps from output to input coordinates in [-1, 1]: (B, 2, 3)."""
        rotation = math.radians(self.rotation) * (draws.rotates < self.rotation_p)
        angle = rotation * _signed(draws.angle)
        mirror = torch.where(draws.flip < self.flip, -1.0, 1.0)
        side = 1 - draws.crop_side * (1 - self.crop)
        scale = side / (1 + self.zoom * _signed(draws.zoom))  # of the input that the output shows
        room = 1 - side  # how far the crop's centre may lie from the image's, in half sides
        shift = 2 * self.translation * (draws.shifts < self.translation_p)  # in half sides
        shift_x = room * _signed(draws.crop_x) - shift * _signed(draws.right)
        shift_y = room * _signed(draws.crop_y) - shift * _signed(draws.down)
        cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
        return torch.stack(
            [
                torch.stack([mirror * cos, -sin, shift_x], dim=1),
                torch.stack([mirror * sin, cos, shift_y], dim=1),
            ],
            dim=1,
        )

    def _photometric(self, images: Tensor, draws: Draws) -> Tensor:
        contrast = (1 + self.contrast * _signed(draws.contrast))[:, None, None, None]
        brightness = (1 + self.brightness * _signed(draws.brightness))[:, None, None, None]
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((mean + contrast * (images - mean)) * brightness).clamp(0, 1)

    def _erase(self, images: Tensor, draws: Draws) -> Tensor:
        height, width = images.shape[2:]
        area = _between(_SMALLEST_ERASED, self.erasing_area, draws.erased_area) * height * width
        ratio = _between(_FLATTEST, _STEEPEST, draws.erased_ratio).exp()
        rows = _inside((area * ratio).sqrt(), draws.erased_y, height)
        columns = _inside((area / ratio).sqrt(), draws.erased_x, width)
        rows &= (draws.erases < self.erasing)[:, None]
        return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _inside(length: Tensor, place: Tensor, side: int) -> Tensor:
    """Return which of `side` pixels lie in a segment: bool (B, side).

    Args:
        length: float32 (B,), of the segment, pixels; rounded, and cut to `side`.
        place: float32 (B,), in [0, 1), of the segment along the room that it has.
    """
    length = length.round().clamp(max=side)
    start = (place * (side - length + 1)).floor()
    pixels = torch.arange(side, device=length.device)
    return (pixels >= start[:, None]) & (pixels < (start + length)[:, None])


def _between(low: float, high: float, draws: Tensor) -> Tensor:
    """Return draws from [0, 1) as numbers from `low` to `high`."""
    return low + (high - low) * draws


def _signed(draws: Tensor) -> Tensor:
    """Return draws from [0, 1) as numbers in [-1, 1)."""
    return 2 * draws - 1


def make_transforms(parameters: object) -> RandomTransforms:
    """Return the transforms of a mapping of names to strengths.

    Raises:
        FerlabError: not a mapping, an unknown name, or a value out of range.
    """
    if not isinstance(parameters, Mapping):
        raise FerlabError(f"augment.transforms must map names to values; got {parameters!r}")
    known = [field.name for field in fields(RandomTransforms)]
    if unknown := [name for name in parameters if name not in known]:
        raise FerlabError(
            f"augment.transforms has no {unknown[0]!r}{did_you_mean(unknown[0], known)}; "
            f"the transforms are {', '.join(known)}"
        )
    return RandomTransforms(**parameters)
