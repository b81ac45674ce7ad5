"""Random transforms of a batch of grey images, every image with its own parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from ferlab.checks import FerlabError, check_number


@dataclass(frozen=True)
class RandomTransforms:
    """Rotation, flip, zoom, translation and crop in one resampling, then contrast and brightness.

    A call is a pure function of the images and of uniform random numbers that the caller draws,
    so the same draws give the same images on every device, in every batch and after a resume.
    The five geometric transforms are composed into one affine map per image and applied by a
    single bilinear `grid_sample`; pixels from outside repeat the border, as in Keras'
    `fill_mode='nearest'`.

    Attributes:
        rotation: largest angle, degrees, either way; uniform.
        flip: probability of a horizontal flip.
        zoom: largest relative change of scale, either way; uniform. 0.1 is ×0.9 to ×1.1.
        translation: largest shift along each axis, as a fraction of the side, either way; uniform.
        crop: smallest side of the square crop that is enlarged to the full image, as a fraction
            of the side; side and place are uniform. 1 does not crop.
        brightness: largest relative change of all grey levels, either way; uniform.
        contrast: largest relative change of the distance from the image's mean; uniform.
    """

    rotation: float = 0.0
    flip: float = 0.0
    zoom: float = 0.0
    translation: float = 0.0
    crop: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0

    N_DRAWS = 10
    """Uniform random numbers that one image needs."""

    def __post_init__(self) -> None:
        check_number("augment.transforms.rotation", self.rotation, at_least=0, at_most=180)
        check_number("augment.transforms.flip", self.flip, at_least=0, at_most=1)
        check_number("augment.transforms.translation", self.translation, at_least=0, at_most=1)
        check_number("augment.transforms.crop", self.crop, above=0, at_most=1)
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
        grid = F.affine_grid(self._affine(draws), list(images.shape), align_corners=False)
        moved = F.grid_sample(
            images, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return self._photometric(moved, draws)

    def _affine(self, draws: Tensor) -> Tensor:
        """Return the maps from output to input coordinates in [-1, 1]: (B, 2, 3)."""
        signed = 2 * draws - 1
        angle = signed[:, 0] * math.radians(self.rotation)
        mirror = torch.where(draws[:, 1] < self.flip, -1.0, 1.0)
        side = 1 - draws[:, 5] * (1 - self.crop)
        scale = side / (1 + signed[:, 2] * self.zoom)  # of the input that the output shows
        room = 1 - side  # how far the crop's centre may lie from the image's, in half sides
        shift_x = signed[:, 6] * room - 2 * self.translation * signed[:, 3]
        shift_y = signed[:, 7] * room - 2 * self.translation * signed[:, 4]
        cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
        return torch.stack(
            [
                torch.stack([mirror * cos, -sin, shift_x], dim=1),
                torch.stack([mirror * sin, cos, shift_y], dim=1),
            ],
            dim=1,
        )

    def _photometric(self, images: Tensor, draws: Tensor) -> Tensor:
        signed = 2 * draws[:, 8:10, None, None] - 1  # (B, 2, 1, 1)
        contrast = 1 + self.contrast * signed[:, :1]
        brightness = 1 + self.brightness * signed[:, 1:]
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((mean + contrast * (images - mean)) * brightness).clamp(0, 1)


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
            f"augment.transforms has no {unknown[0]!r}; the transforms are {', '.join(known)}"
        )
    return RandomTransforms(**parameters)
