"""Crops, held against torchvision's."""

import pytest
import torch
import torchvision.transforms.v2.functional as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlab.augment.crops import crop_at, views_at_test_time
from ferlab.checks import FerlabError

IMAGES = torch.rand(6, 1, 48, 48, generator=torch.Generator().manual_seed(0))


@given(st.integers(1, 48), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_every_image_is_cropped_at_its_own_place(size, seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(48 - size + 1, (6, 2), generator=generator)
    cropped = crop_at(IMAGES, size, corners)
    for image, crop, (left, top) in zip(IMAGES, cropped, corners.tolist(), strict=True):
        assert torch.equal(crop, oracle.crop(image, top, left, size, size))


def test_ten_crops_are_torchvisions():
    views = views_at_test_time(IMAGES, "ten_crop", 40)
    expected = oracle.ten_crop(IMAGES, [40, 40])
    order = [4, 0, 1, 2, 3, 9, 6, 5, 8, 7]  # ours begin with the centre
    assert views.shape == (10, 6, 1, 40, 40)
    for view, index in zip(views, order, strict=True):
        assert torch.equal(view, expected[index])


def test_where_whole_images_are_seen_they_are_shifted_and_not_resampled():
    views = views_at_test_time(IMAGES, "ten_crop", 48)
    assert views.shape == (10, 6, 1, 48, 48)
    assert torch.equal(views[0], IMAGES)
    moved = oracle.pad(IMAGES, [2, 2], padding_mode="edge")
    assert torch.equal(views[1], moved[..., :48, :48])
    assert torch.equal(views[9], moved[..., 4:, 4:].flip(3))


@pytest.mark.parametrize("size", [40, 48])
def test_flip_adds_the_mirror_image_of_the_centre(size):
    (plain,) = views_at_test_time(IMAGES, "none", size)
    assert torch.equal(plain, oracle.center_crop(IMAGES, [size, size]))
    first, second = views_at_test_time(IMAGES, "flip", size)
    assert torch.equal(first, plain)
    assert torch.equal(second, plain.flip(3))


def test_an_unknown_kind_is_refused():
    with pytest.raises(FerlabError, match=r"augment\.test_time must be one of none, flip"):
        views_at_test_time(IMAGES, "tencrop", 48)
