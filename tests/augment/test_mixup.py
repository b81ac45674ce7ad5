"""Mixup: shares from the Beta distribution, labels mixed as the images are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlab.augment.mixup import mix, plan_mixup
from ferlab.augment.targeted import TargetedAugmentation
from ferlab.checks import FerlabError


@given(st.floats(0.1, 4), st.integers(0, 10_000), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_lambdas_have_the_moments_of_the_beta_distribution(alpha, seed, epoch):
    lam = plan_mixup(alpha, (40, 50), seed, epoch).lam
    variance = 1 / (4 * (2 * alpha + 1))
    assert lam.shape == (40, 50)
    assert lam.min() >= 0
    assert lam.max() <= 1
    assert abs(lam.mean() - 0.5) < 5 * (variance / 2000) ** 0.5
    assert abs(lam.var() - variance) < 0.15 * variance


def test_every_image_is_a_partner_once_in_each_batch():
    partner = plan_mixup(1.0, (20, 16), 0, 0).partner
    assert torch.equal(partner.sort(dim=1).values, torch.arange(16).expand(20, 16))
    assert not torch.equal(partner[0], partner[1])


def test_the_plan_follows_from_seed_and_epoch():
    one, same = (plan_mixup(0.4, (3, 8), 5, 7) for _ in range(2))
    assert torch.equal(one.partner, same.partner)
    assert torch.equal(one.lam, same.lam)
    for other in (plan_mixup(0.4, (3, 8), 6, 7), plan_mixup(0.4, (3, 8), 5, 8)):
        assert not torch.equal(one.lam, other.lam)


def test_images_and_labels_are_mixed_by_the_same_lambda():
    images = torch.rand(4, 1, 2, 2)
    labels = torch.tensor([0, 3, 3, 6])
    partner, lam = torch.tensor([1, 0, 1, 3]), torch.tensor([0.75, 1.0, 0.25, 0.5])
    mixed, targets = mix(images, labels, partner, lam)
    for row in range(4):
        own, other = images[row], images[partner[row]]
        assert torch.allclose(mixed[row], lam[row] * own + (1 - lam[row]) * other)
    expected = torch.zeros(4, 7)
    expected[0, 0], expected[0, 3] = 0.75, 0.25
    expected[1, 3] = expected[2, 3] = expected[3, 6] = 1.0
    assert torch.allclose(targets, expected)


@pytest.mark.parametrize("alpha", [-1, "0.2", None])
def test_a_wrong_alpha_is_refused(alpha):
    with pytest.raises(FerlabError, match=r"^augment\.mixup must be a number >= 0"):
        TargetedAugmentation(mixup=alpha)
