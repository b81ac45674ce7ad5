"""Random transforms of a batch of grey images, every image with its own parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ferlab.checks import FerlabError, check_keys, check_number

_SMALLEST_ERASED = 0.02  # share of the image
_FLATTEST, _STEEPEST = math.log(0.3), math.log(3.3)  # height to width of what is erased


class Draws(NamedTuple):
    """What each uniform random number of an image decides: float32 (...) each."""

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


class Parameters(NamedTuple):
    """How images are transformed.

    Attributes:
        affine: float32 (..., 2, 3), from output to input coordinates in [-1, 1].
        contrast: float32 (..., 1, 1, 1), factor of the distance from the image's mean.
        brightness: float32 (..., 1, 1, 1), factor of the grey levels.
        erased: float32 (..., 4), whole pixels: first row and the one after the last, first column
            and the one after the last; no rows where nothing is erased.
    """

    affine: Tensor
    contrast: Tensor
    brightness: Tensor
    erased: Tensor


@dataclass(frozen=True)
class RandomTransforms:
    """Rotation, flip, zoom, translation, crop; then contrast and brightness; then erasing.

    A call is a pure function of the images and of uniform random numbers that the caller draws,
    so the same draws give the same images on every device, in every batch and after a resume. Its
    two halves can be called by themselves: the parameters of all images at once, on the CPU, cost
    a device far less than those of each batch, which are many small operations.
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
        height, width = images.shape[2:]
        return self.apply(images, self.parameters(draws, height, width))

    def parameters(self, draws: Tensor, height: int, width: int) -> Parameters:
        """Return what the draws come to, for any number of images at once.

        Args:
            draws: float32 (..., N_DRAWS), uniform in [0, 1).
            height: of the images, pixels.
            width: likewise.
        """
        named = Draws(*draws.unbind(dim=-1))
        area = _between(_SMALLEST_ERASED, self.erasing_area, named.erased_area) * height * width
        ratio = _between(_FLATTEST, _STEEPEST, named.erased_ratio).exp()
        top, bottom = _segment((area * ratio).sqrt(), named.erased_y, height)
        left, right = _segment((area / ratio).sqrt(), named.erased_x, width)
        bottom = torch.where(named.erases < self.erasing, bottom, top)
        return Parameters(
            affine=self._affine(named),
            contrast=(1 + self.contrast * _signed(named.contrast))[..., None, None, None],
            brightness=(1 + self.brightness * _signed(named.brightness))[..., None, None, None],
            erased=torch.stack([top, bottom, left, right], dim=-1),
        )

    def apply(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Return the images transformed so: float32 (B, 1, H, W) in [0, 1].

        Args:
            images: float32 (B, 1, H, W) in [0, 1].
            parameters: of these B images, of this size, on their device.
        """
        grid = F.affine_grid(parameters.affine, list(images.shape), align_corners=False)
        moved = F.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        mean = moved.mean(dim=(1, 2, 3), keepdim=True)
        lit = (mean + parameters.contrast * (moved - mean)) * parameters.brightness
        lit = lit.clamp(0, 1)
        if not self.erasing:
            return lit
        height, width = images.shape[2:]
        top, bottom, left, right = parameters.erased[..., None].unbind(dim=1)  # (B, 1) each
        y, x = (torch.arange(side, device=images.device) for side in (height, width))
        rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
        return lit.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)

    def _affine(self, draws: Draws) -> Tensor:
        """Return the maps from output to input coordinates in [-1, 1]: (..., 2, 3)."""
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
        first = torch.stack([mirror * cos, -sin, shift_x], dim=-1)
        second = torch.stack([mirror * sin, cos, shift_y], dim=-1)
        return torch.stack([first, second], dim=-2)


def _segment(length: Tensor, place: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel of a segment of `side` pixels, and the one after its last: (...) each.

    Args:
        length: float32 (...), of the segment, pixels; rounded, and cut to `side`.
        place: float32 (...), in [0, 1), of the segment along the room that it has.
    """
    length = length.round().clamp(max=side)
    start = (place * (side - length + 1)).floor()
    return start, start + length


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
    check_keys("augment.transforms", parameters, [one.name for one in fields(RandomTransforms)])
    return RandomTransforms(**parameters)
