"""What each transform does to one image at its extremes, for a person to look at."""

import torch
from torch import Tensor

from ferlab.augment.transforms import Draws, RandomTransforms

# Draws that change nothing by themselves.
_NEUTRAL = {
    **dict.fromkeys(Draws._fields, 0.5),
    "flip": 1.0,
    "crop_side": 0.0,
    "rotates": 0.0,
    "shifts": 0.0,
    "erases": 1.0,
}


def extremes(transforms: RandomTransforms, image: Tensor) -> dict[str, list[tuple[str, Tensor]]]:
    """Return by the name of each transform that is on what it makes of the image, with captions.

    Args:
        transforms: each is shown by itself, at its least and at its most.
        image: float32 (1, H, W) in [0, 1].

    Returns:
        Captions such as `+15°`, and images float32 (1, H, W) in [0, 1].
    """
    t = transforms
    shown = {
        "rotation": [(f"−{t.rotation:g}°", {"angle": 0.0}), (f"+{t.rotation:g}°", {"angle": 1.0})],
        "flip": [("mirrored", {"flip": 0.0})],
        "zoom": [(f"×{1 - t.zoom:g}", {"zoom": 0.0}), (f"×{1 + t.zoom:g}", {"zoom": 1.0})],
        "translation": [
            (f"left, up {100 * t.translation:g} %", {"right": 0.0, "down": 0.0}),
            (f"right, down {100 * t.translation:g} %", {"right": 1.0, "down": 1.0}),
        ],
        "crop": [
            (f"{100 * t.crop:g} %, upper left", {"crop_side": 1.0, "crop_x": 0.0, "crop_y": 0.0}),
            (f"{100 * t.crop:g} %, lower right", {"crop_side": 1.0, "crop_x": 1.0, "crop_y": 1.0}),
        ],
        "brightness": [
            (f"×{1 - t.brightness:g}", {"brightness": 0.0}),
            (f"×{1 + t.brightness:g}", {"brightness": 1.0}),
        ],
        "contrast": [
            (f"×{1 - t.contrast:g}", {"contrast": 0.0}),
            (f"×{1 + t.contrast:g}", {"contrast": 1.0}),
        ],
        "erasing": [
            ("smallest part", {"erases": 0.0, "erased_area": 0.0}),
            ("largest part", {"erases": 0.0, "erased_area": 1.0}),
        ],
    }
    neutral = RandomTransforms()
    return {
        name: [(caption, _apply(transforms, image, draws)) for caption, draws in examples]
        for name, examples in shown.items()
        if getattr(transforms, name) != getattr(neutral, name)
    }


def _apply(transforms: RandomTransforms, image: Tensor, draws: dict[str, float]) -> Tensor:
    values = {**_NEUTRAL, **draws}
    table = torch.tensor([[values[name] for name in Draws._fields]])
    return transforms(image[None], table)[0]
