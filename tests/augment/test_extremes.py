"""The examples for a person: what is shown is what the transforms do at their ends."""

import torch

from ferlab.augment.extremes import extremes
from ferlab.augment.transforms import RandomTransforms

IMAGE = torch.rand(1, 48, 48, generator=torch.Generator().manual_seed(0))


def test_only_transforms_that_are_on_are_shown_each_by_itself():
    shown = extremes(RandomTransforms(flip=0.5, brightness=0.25), IMAGE)
    assert list(shown) == ["flip", "brightness"]
    ((_, mirrored),) = shown["flip"]
    assert torch.allclose(mirrored, IMAGE.flip(2), atol=1e-4)
    (dark, darker), (bright, brighter) = shown["brightness"]
    assert (dark, bright) == ("×0.75", "×1.25")
    assert torch.allclose(darker, IMAGE * 0.75, atol=1e-4)
    assert torch.allclose(brighter, (IMAGE * 1.25).clamp(max=1), atol=1e-4)


def test_every_kind_of_transform_has_an_example_that_differs_from_the_original():
    on = {
        "rotation": 20,
        "flip": 0.5,
        "zoom": 0.2,
        "translation": 0.1,
        "crop": 0.8,
        "brightness": 0.2,
        "contrast": 0.2,
        "erasing": 0.5,
    }
    shown = extremes(RandomTransforms(**on, rotation_p=0.5, translation_p=0.5), IMAGE)
    assert list(shown) == list(on)
    for name, examples in shown.items():
        for caption, image in examples:
            assert caption
            assert (image - IMAGE).abs().max() > 0.05, name
