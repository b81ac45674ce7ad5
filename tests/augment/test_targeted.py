"""The plan of an epoch: the asked number of added images, drawn evenly, repeatably."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlab.augment.targeted import TargetedAugmentation
from ferlab.augment.transforms import RandomTransforms
from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS

SHAKE = RandomTransforms(rotation=10)
LABELS = torch.arange(7).repeat(6)[torch.randperm(42, generator=torch.Generator().manual_seed(0))]


def assert_equal(plan, other):
    assert torch.equal(plan.source, other.source)
    assert torch.equal(plan.transformed, other.transformed)
    assert torch.equal(plan.draws, other.draws)


@given(
    st.lists(st.integers(1, 8), min_size=7, max_size=7),
    st.dictionaries(st.sampled_from(EMOTIONS), st.integers(0, 30)),
    st.booleans(),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_every_original_comes_once_and_every_class_gains_what_was_asked(
    counts, extra, frozen, epoch
):
    labels = torch.from_numpy(np.random.default_rng(0).permutation(np.repeat(range(7), counts)))
    augmentation = TargetedAugmentation(SHAKE, extra, frozen=frozen)
    plan = augmentation.plan(labels, 0, epoch)
    n = len(labels)
    assert augmentation.n_extra == sum(extra.values())
    assert len(plan.source) == len(plan.transformed) == len(plan.draws) == n + sum(extra.values())
    assert plan.source[:n].tolist() == list(range(n))
    added = plan.source[n:]
    gained = torch.bincount(labels[added], minlength=7).tolist()
    assert gained == [extra.get(emotion, 0) for emotion in EMOTIONS]
    times = torch.bincount(added, minlength=n)
    for label in range(7):
        of_class = times[labels == label]
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize(("apply_to", "originals"), [("extra", False), ("all", True)])
def test_added_images_are_always_transformed_originals_where_asked(apply_to, originals):
    plan = TargetedAugmentation(SHAKE, {"sad": 5}, apply_to).plan(LABELS, 0, 0)
    assert plan.transformed.tolist() == [originals] * 42 + [True] * 5


def test_nothing_is_added_or_transformed_by_default():
    plan = TargetedAugmentation().plan(LABELS, 0, 0)
    assert plan.source.tolist() == list(range(42))
    assert not plan.transformed.any()


def test_every_row_has_its_own_uniform_draws():
    plan = TargetedAugmentation(SHAKE, {"sad": 1000}).plan(LABELS, 0, 0)
    assert plan.draws.shape == (1042, RandomTransforms.N_DRAWS)
    assert plan.draws.dtype == torch.float32
    assert len(plan.draws.unique()) > 10_000
    assert 0 <= plan.draws.min() < 0.01
    assert 0.99 < plan.draws.max() < 1
    assert (plan.draws.mean(dim=0) - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("frozen", [False, True])
def test_a_plan_is_a_function_of_labels_seed_and_epoch(frozen):
    extra = {"sad": 8, "angry": 3}
    augmentation = TargetedAugmentation(SHAKE, extra, frozen=frozen)
    torch.manual_seed(0)
    first = augmentation.plan(LABELS, seed=5, epoch=3)
    augmentation.plan(LABELS, seed=5, epoch=4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert_equal(augmentation.plan(LABELS, seed=5, epoch=3), first)
    assert torch.equal(torch.get_rng_state(), before)
    backwards = dict(reversed(extra.items()))
    other = TargetedAugmentation(SHAKE, backwards, frozen=frozen)
    assert_equal(other.plan(LABELS, seed=5, epoch=3), first)


@pytest.mark.parametrize("frozen", [False, True])
def test_another_seed_gives_another_plan(frozen):
    augmentation = TargetedAugmentation(SHAKE, {"sad": 3, "fear": 3}, frozen=frozen)
    plans = [augmentation.plan(LABELS, seed, 0) for seed in range(4)]
    assert len({tuple(plan.source.tolist()) for plan in plans}) == 4
    assert len({tuple(plan.draws.flatten().tolist()) for plan in plans}) == 4


def test_frozen_epochs_are_alike():
    augmentation = TargetedAugmentation(SHAKE, {"sad": 3, "fear": 9}, frozen=True)
    first = augmentation.plan(LABELS, 0, 0)
    for epoch in (1, 2, 50):
        assert_equal(augmentation.plan(LABELS, 0, epoch), first)


def test_fresh_epochs_draw_other_images_and_other_parameters():
    augmentation = TargetedAugmentation(SHAKE, {"sad": 3, "fear": 3})
    plans = [augmentation.plan(LABELS, 0, epoch) for epoch in range(4)]
    assert len({tuple(plan.source.tolist()) for plan in plans}) == 4
    assert len({tuple(plan.draws[0].tolist()) for plan in plans}) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"extra": {"hapy": 5}}, r"augment\.extra has no 'hapy', did you mean 'happy'\?"),
        ({"extra": {"contempt": 5}}, r"augment\.extra has no 'contempt'.*; it has angry"),
        (
            {"extra": {"sad": -1}},
            r"augment\.extra\.sad .* <= 1000000; got -1",
        ),
        (
            {"extra": {"sad": 2.5}},
            r"augment\.extra\.sad .* <= 1000000; got 2.5",
        ),
        (
            {"extra": {"sad": None}},
            r"augment\.extra\.sad .* <= 1000000; got None",
        ),
        ({"apply_to": "al"}, r"augment\.apply_to must be one of extra, all; got 'al'"),
        ({"extra": {"sad": 1}, "transforms": None}, r"need augment\.transforms"),
        ({"apply_to": "all", "transforms": None}, r"need augment\.transforms"),
    ],
)
def test_a_mistake_is_refused_in_one_line_by_name(options, said):
    with pytest.raises(FerlabError, match=said) as caught:
        TargetedAugmentation(**{"transforms": SHAKE, **options})
    assert len(str(caught.value).splitlines()) == 1


def test_a_class_with_nothing_to_add_needs_no_transforms():
    assert TargetedAugmentation(None, {"sad": 0}).n_extra == 0


@pytest.mark.parametrize(
    ("refine", "n_epochs", "refined"),
    [(0.0, 4, []), (0.25, 4, [3]), (0.15, 70, [*range(60, 70)]), (1.0, 3, [0, 1, 2]), (0.2, 1, [])],
)
def test_the_last_share_of_the_epochs_is_refined(refine, n_epochs, refined):
    augmentation = TargetedAugmentation(SHAKE, {"sad": 5}, "all", mixup=0.4, refine=refine)
    epochs = [augmentation.of_epoch(epoch, n_epochs) for epoch in range(n_epochs)]
    assert [epoch for epoch, plan in enumerate(epochs) if plan is not augmentation] == refined
    for epoch in (0, 1, 10**6):
        assert augmentation.of_epoch(epoch, -1) is augmentation


@pytest.mark.parametrize("flip", [0.0, 0.3])
def test_refined_plans_flip_as_before_and_do_nothing_else(flip):
    strong = RandomTransforms(rotation=10, flip=flip, zoom=0.2, contrast=0.3, erasing=0.5)
    augmentation = TargetedAugmentation(strong, {"sad": 5}, "all", True, mixup=0.4, refine=0.1)
    refined = augmentation.refined()
    assert refined.transforms == RandomTransforms(flip=flip)
    assert (refined.extra, refined.apply_to, refined.frozen) == ({"sad": 5}, "all", True)
    assert refined.mixup == 0
    assert_equal(refined.plan(LABELS, 3, 2), augmentation.plan(LABELS, 3, 2))


def test_what_transforms_nothing_is_refined_to_nothing():
    assert TargetedAugmentation(refine=1.0).of_epoch(0, 1).transforms is None


@pytest.mark.parametrize("refine", [-0.1, 1.1, "0.1", None, True])
def test_a_wrong_share_of_refined_epochs_is_refused(refine):
    with pytest.raises(FerlabError, match=r"^augment\.refine must be a number >= 0 and <= 1"):
        TargetedAugmentation(refine=refine)
