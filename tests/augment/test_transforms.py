"""The transforms of a batch, held against torchvision's, one image at a time."""

import math

import pytest
import torch
import torchvision.transforms.v2.functional as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import InterpolationMode

from ferlab.augment.transforms import Draws, RandomTransforms, make_transforms
from ferlab.checks import FerlabError

NOISE = torch.rand(6, 1, 48, 48, generator=torch.Generator().manual_seed(0))
MOST = 1 - 2**-24  # the largest float32 that torch.rand returns
STRONG = RandomTransforms(
    rotation=30,
    rotation_p=0.8,
    flip=0.5,
    zoom=0.3,
    translation=0.2,
    translation_p=0.8,
    crop=0.7,
    brightness=0.5,
    contrast=0.5,
    erasing=0.7,
)

each_draw = pytest.mark.parametrize("draw", [0.0, 0.2, 0.5, 0.9, MOST])


def draws(n=1, **values):
    """Return draws of which only the named ones change anything."""
    table = torch.full((n, RandomTransforms.N_DRAWS), 0.5)
    for name, value in {"crop_side": 0.0, **values}.items():
        table[:, Draws._fields.index(name)] = torch.as_tensor(value)
    return table


def uniform(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, RandomTransforms.N_DRAWS, generator=generator)


def affine(images, angle=0.0, translate=(0, 0), scale=1.0):
    return oracle.affine(
        images, angle, list(translate), scale, [0.0, 0.0], InterpolationMode.BILINEAR
    )


def inner(images, margin):
    return images[..., margin:-margin, margin:-margin]


def assert_close(images, expected, margin=0, tolerance=1e-4):
    if margin:
        images, expected = inner(images, margin), inner(expected, margin)
    assert (images - expected).abs().max() < tolerance


@each_draw
def test_rotation_is_uniform_and_counter_clockwise_for_large_draws(draw):
    turned = RandomTransforms(rotation=25)(NOISE, draws(6, angle=draw))
    expected = oracle.rotate(NOISE, 25 * (2 * draw - 1), InterpolationMode.BILINEAR)
    assert_close(turned, expected, margin=10)


def test_a_quarter_turn_keeps_every_pixel():
    turned = RandomTransforms(rotation=90)(NOISE, draws(6, angle=1.0))
    assert_close(turned, NOISE.rot90(1, (2, 3)))


@each_draw
def test_zoom_is_uniform_and_enlarges_for_large_draws(draw):
    zoomed = RandomTransforms(zoom=0.2)(NOISE, draws(6, zoom=draw))
    assert_close(zoomed, affine(NOISE, scale=1 + 0.2 * (2 * draw - 1)), margin=8)


@each_draw
@pytest.mark.parametrize("axis", ["right", "down"])
def test_translation_is_uniform_and_goes_right_or_down_for_large_draws(axis, draw):
    moved = RandomTransforms(translation=0.125)(NOISE, draws(6, **{axis: draw}))
    shift = 6 * (2 * draw - 1)
    expected = affine(NOISE, translate=(shift, 0) if axis == "right" else (0, shift))
    assert_close(moved, expected, margin=8)


def test_pixels_from_outside_repeat_the_border():
    moved = RandomTransforms(translation=0.125)(NOISE, draws(6, right=1.0, down=0.0))
    row, column = torch.arange(48) + 6, torch.arange(48) - 6
    assert_close(moved, NOISE[:, :, row.clamp(max=47)][..., column.clamp(min=0)])


@pytest.mark.parametrize(("left", "top"), [(0, 0), (24, 0), (12, 12), (5, 17)])
def test_crop_is_torchvisions_resized_crop(left, top):
    cropped = RandomTransforms(crop=0.5)(
        NOISE, draws(6, crop_side=1.0, crop_x=left / 24, crop_y=top / 24)
    )
    expected = oracle.resized_crop(NOISE, top, left, 24, 24, [48, 48], antialias=False)
    assert_close(cropped, expected, margin=1)  # at its edge the crop sees the pixels beyond


@pytest.mark.parametrize(("draw", "side"), [(0.0, 48), (0.25, 42), (0.5, 36), (1.0, 24)])
def test_the_side_of_the_crop_is_uniform_from_the_whole_image_to_the_smallest(draw, side):
    cropped = RandomTransforms(crop=0.5)(NOISE, draws(6, crop_side=draw))
    start = (48 - side) // 2
    expected = oracle.resized_crop(NOISE, start, start, side, side, [48, 48], antialias=False)
    assert_close(cropped, expected, margin=1)


def test_flip_mirrors_left_and_right():
    assert_close(RandomTransforms(flip=1.0)(NOISE, draws(6, flip=MOST)), NOISE.flip(3))


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.5, 1.0])
def test_flip_happens_with_its_probability(probability):
    images = NOISE[:1].expand(100, 1, 48, 48)
    flipped = RandomTransforms(flip=probability)(images, draws(100, flip=torch.arange(100) / 100))
    share = ((flipped - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-4).float().mean()
    assert share == pytest.approx(probability)


@each_draw
def test_brightness_multiplies_every_grey_level(draw):
    changed = RandomTransforms(brightness=0.4)(NOISE, draws(6, brightness=draw))
    assert_close(changed, oracle.adjust_brightness(NOISE, 1 + 0.4 * (2 * draw - 1)))


@each_draw
def test_contrast_stretches_about_the_mean_of_each_image(draw):
    images = NOISE * torch.linspace(0.3, 1, 6)[:, None, None, None]  # of different means
    changed = RandomTransforms(contrast=0.4)(images, draws(6, contrast=draw))
    assert_close(changed, oracle.adjust_contrast(images, 1 + 0.4 * (2 * draw - 1)))


def test_all_together_are_torchvisions_one_after_the_other():
    images = 0.4 + 0.2 * NOISE  # nothing reaches black or white on the way
    strong = RandomTransforms(
        rotation=20, flip=1.0, zoom=0.2, translation=0.125, brightness=0.2, contrast=0.5
    )
    changed = strong(
        images, draws(6, angle=0.8, zoom=0.7, right=1.0, down=0.25, contrast=0.9, brightness=0.2)
    )
    moved = affine(images, translate=(6, -3))
    turned = affine(moved, angle=-20 * 0.6, scale=1 + 0.2 * 0.4)  # clockwise is positive here
    geometric = RandomTransforms(rotation=20, flip=1.0, zoom=0.2, translation=0.125)(
        images, draws(6, angle=0.8, zoom=0.7, right=1.0, down=0.25)
    )
    assert_close(geometric, turned.flip(3), margin=14)
    contrasted = oracle.adjust_contrast(geometric, 1 + 0.5 * 0.8)
    assert_close(changed, oracle.adjust_brightness(contrasted, 1 - 0.2 * 0.6))


def test_crop_and_translation_add_up():
    both = RandomTransforms(crop=0.5, translation=0.125)(
        NOISE, draws(6, crop_side=1.0, crop_x=0.5, crop_y=0.5, right=1.0, down=0.0)
    )
    expected = oracle.resized_crop(NOISE, 12 + 6, 12 - 6, 24, 24, [48, 48], antialias=False)
    assert_close(both, expected, margin=1)


@pytest.mark.parametrize(
    ("share", "ratio", "top", "left"), [(0.1, 1.0, 0, 0), (0.33, 0.5, 7, 12), (0.02, 3.0, 40, 44)]
)
def test_erasing_is_torchvisions_black_rectangle(share, ratio, top, left):
    height = round((share * 48 * 48 * ratio) ** 0.5)
    width = round((share * 48 * 48 / ratio) ** 0.5)
    erased = RandomTransforms(erasing=1.0)(
        NOISE,
        draws(
            6,
            erased_area=(share - 0.02) / 0.31,
            erased_ratio=math.log(ratio / 0.3) / math.log(3.3 / 0.3),
            erased_y=(top + 0.5) / (48 - height + 1),
            erased_x=(left + 0.5) / (48 - width + 1),
        ),
    )
    assert_close(erased, oracle.erase(NOISE, top, left, height, width, torch.zeros(1)))


def erased_rectangles(transforms, seed, n=500):
    """Return top, left, height and width (n,) of what is erased, all 0 where nothing is."""
    black = transforms(torch.ones(1, 1, 48, 48).expand(n, 1, 48, 48), uniform(n, seed))[:, 0] == 0
    rows, columns = black.any(2), black.any(1)
    assert torch.equal(black, rows[:, :, None] & columns[:, None, :])  # a rectangle, all of it
    return tuple(
        side.int() for line in (rows, columns) for side in (line.int().argmax(1), line.sum(1))
    )


@given(st.integers(0, 10_000), st.floats(0.1, 0.9), st.floats(0.1, 0.5))
@settings(max_examples=25, deadline=None)
def test_what_is_erased_has_the_shares_ratios_and_places_that_were_asked(seed, p, area):
    top, height, left, width = erased_rectangles(
        RandomTransforms(erasing=p, erasing_area=area), seed
    )
    erased = height > 0
    n = int(erased.sum())
    assert abs(n / 500 - p) < 5 * (p * (1 - p) / 500) ** 0.5  # five standard errors
    share = (height * width)[erased] / 48**2
    assert share.max() < area + 0.03  # sides are rounded to pixels
    assert share.min() > 0.005
    assert abs(share.mean() - (0.02 + area) / 2) < 5 * (area - 0.02) / (12 * n) ** 0.5 + 0.01
    room = 48 - height[erased]
    place = (top[erased] / room.clamp(min=1))[room > 5]
    assert abs(place.mean() - 0.5) < 5 * 0.32 / len(place) ** 0.5
    assert (left[erased] + width[erased]).max() <= 48


@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("name", ["rotation", "translation"])
def test_with_a_probability_the_others_stay_as_they_are(name, seed, p):
    images = NOISE[:1].expand(400, 1, 48, 48)
    changed = RandomTransforms(**{name: 0.2 if name == "translation" else 30, f"{name}_p": p})(
        images, uniform(400, seed)
    )
    share = ((changed - images).abs().amax(dim=(1, 2, 3)) > 1e-3).float().mean()
    assert abs(share - p) < 5 * (p * (1 - p) / 400) ** 0.5


def centre_of_mass(images):
    """Return right and down (B,) of the brightness, in pixels from the middle."""
    weight = images[:, 0] / images.sum(dim=(1, 2, 3))[:, None, None]
    axis = torch.arange(48) - 23.5
    return (weight.sum(1) * axis).sum(1), (weight.sum(2) * axis).sum(1)


@given(st.integers(0, 10_000), st.floats(0.02, 0.2))
@settings(max_examples=25, deadline=None)
def test_shifts_are_uniform_and_the_axes_independent(seed, strength):
    spot = torch.zeros(1, 1, 48, 48)
    spot[..., 23:25, 23:25] = 1
    moved = RandomTransforms(translation=strength)(spot.expand(400, 1, 48, 48), uniform(400, seed))
    right, down = (axis / (48 * strength) for axis in centre_of_mass(moved))
    for axis in (right, down):
        assert axis.abs().max() < 1 + 1e-3
        assert abs(axis.mean()) < 5 * 0.58 / 20  # standard error of a uniform's mean
        assert abs(axis.square().mean() - 1 / 3) < 5 * 0.3 / 20
    assert abs((right * down).mean()) < 5 * (1 / 3) / 20


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_zero_strength_changes_nothing_whatever_the_draws(seed):
    unchanged = RandomTransforms()(NOISE, uniform(6, seed))
    assert_close(unchanged, NOISE, tolerance=1e-5)  # float32 places a pixel to a few 1e-6


def test_each_image_depends_on_its_own_draws_alone():
    table = uniform(6)
    together = STRONG(NOISE, table)
    alone = torch.cat([STRONG(NOISE[i : i + 1], table[i : i + 1]) for i in range(6)])
    assert_close(together, alone, tolerance=1e-5)

    others = table.clone()
    others[3] = 1 - table[3]
    images = NOISE.clone()
    images[3] = 1 - NOISE[3]
    changed = STRONG(images, others)
    kept = torch.arange(6) != 3
    assert torch.equal(changed[kept], together[kept])
    assert (changed[3] - together[3]).abs().max() > 0.1


def test_every_draw_changes_the_image():
    table = torch.full((1, RandomTransforms.N_DRAWS), 0.45)
    before = STRONG(NOISE[:1], table)
    for column in range(Draws._fields.index("window_x")):
        other = table.clone()
        other[0, column] = (table[0, column] + 0.5) % 1
        assert (STRONG(NOISE[:1], other) - before).abs().max() > 0.01, Draws._fields[column]


@given(
    st.builds(
        RandomTransforms,
        rotation=st.floats(0, 180),
        flip=st.floats(0, 1),
        zoom=st.floats(0, 0.95),
        translation=st.floats(0, 1),
        crop=st.floats(0.05, 1),
        brightness=st.floats(0, 0.95),
        contrast=st.floats(0, 0.95),
        erasing=st.floats(0, 1),
        erasing_area=st.floats(0.02, 1),
    ),
    st.sampled_from(["least", "most", "any"]),
    st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_grey_levels_stay_between_black_and_white(transforms, kind, seed):
    images = NOISE.clone()
    images[0], images[1] = 0, 1
    table = {
        "least": torch.zeros(6, RandomTransforms.N_DRAWS),
        "most": torch.full((6, RandomTransforms.N_DRAWS), MOST),
        "any": uniform(6, seed),
    }[kind]
    before = images.clone()
    changed = transforms(images, table)
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not changed.isnan().any()
    assert torch.equal(images, before)


@pytest.mark.parametrize("shape", [(5, 19), (6, 18), (19,)])
def test_draws_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"draws must be of shape \(6, 19\)"):
        STRONG(NOISE, torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation", -1),
        ("rotation", 181),
        ("rotation", float("nan")),
        ("rotation", "15"),
        ("rotation", None),
        ("rotation", True),
        ("flip", 1.5),
        ("flip", -0.1),
        ("zoom", 1.0),
        ("zoom", -0.1),
        ("translation", 1.1),
        ("translation", -0.1),
        ("crop", 0),
        ("crop", 1.1),
        ("brightness", 1.0),
        ("brightness", -0.1),
        ("contrast", 1.0),
        ("contrast", -0.1),
        ("rotation_p", 1.1),
        ("translation_p", -0.1),
        ("erasing", 1.5),
        ("erasing_area", 0.01),
        ("erasing_area", 1.1),
    ],
)
def test_a_wrong_strength_is_refused_by_name(name, value):
    with pytest.raises(FerlabError, match=rf"^augment\.transforms\.{name} must be a number") as e:
        make_transforms({name: value})
    assert str(e.value).endswith(f"got {value!r}")


@pytest.mark.parametrize(
    "limits",
    [
        {"rotation": 180, "flip": 1, "translation": 1, "crop": 1},
        {"zoom": 0.99, "brightness": 0.99, "contrast": 0.99, "crop": 0.01},
        {"rotation": 0, "flip": 0, "zoom": 0, "translation": 0, "brightness": 0, "contrast": 0},
    ],
)
def test_the_limits_themselves_are_allowed(limits):
    assert make_transforms(limits) == RandomTransforms(**limits)


def test_an_unknown_transform_is_refused_by_name():
    with pytest.raises(
        FerlabError,
        match=r"^augment\.transforms has no 'rotatoin', did you mean 'rotation'\?",
    ):
        make_transforms({"flip": 0.5, "rotatoin": 15})
