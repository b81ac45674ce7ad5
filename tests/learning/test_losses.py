"""Losses, held against PyTorch's and against their definitions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.profiler import ProfilerActivity, profile

from ferlab.checks import FerlabError
from ferlab.learning.losses import CrossEntropy, FocalLoss

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(40, 7, generator=GENERATOR)
LABELS = torch.randint(0, 7, (40,), generator=GENERATOR)
SHARES = torch.rand(40, 7, generator=GENERATOR).softmax(dim=1)
COUNTS = np.array([3995, 436, 4097, 7215, 4965, 4830, 3171])


def test_by_default_it_is_plain_cross_entropy():
    assert torch.equal(CrossEntropy()(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS))


@given(st.floats(0, 0.9), st.booleans())
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("labels", [LABELS, SHARES], ids=["labels", "shares"])
def test_focal_loss_without_focus_is_cross_entropy(labels, smoothing, balanced):
    options = {
        "label_smoothing": smoothing,
        "class_weights": "balanced" if balanced else "none",
    }
    cross_entropy, focal = CrossEntropy(**options), FocalLoss(gamma=0.0, **options)
    for loss in (cross_entropy, focal):
        loss.balance(COUNTS)
    shares = F.one_hot(labels, 7) if labels is LABELS else labels
    smoothed = (1 - smoothing) * shares + smoothing / 7
    terms = cross_entropy.weight * smoothed * -LOGITS.log_softmax(dim=1)
    assert torch.allclose(focal(LOGITS, labels), terms.sum(1).mean(), rtol=1e-4)
    assert torch.allclose(cross_entropy(LOGITS, labels), terms.sum(1).mean(), rtol=1e-4)


def test_focal_loss_weighs_each_image_by_what_it_lacks():
    p = LOGITS.softmax(dim=1)[torch.arange(40), LABELS]
    expected = ((1 - p) ** 2 * -p.log()).mean()
    assert torch.allclose(FocalLoss(gamma=2.0)(LOGITS, LABELS), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradients_are_finite_where_a_row_could_not_be_righter(gamma):
    logits = torch.zeros(1, 7)
    logits[0, 3] = 200
    logits.requires_grad_()
    FocalLoss(gamma)(logits, torch.tensor([3])).backward()
    assert torch.isfinite(logits.grad).all()


def test_balanced_weights_are_scikit_learns():
    loss = CrossEntropy(class_weights="balanced")
    loss.balance(COUNTS)
    labels = np.repeat(np.arange(7), COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(7), y=labels)
    assert np.allclose(loss.weight, expected)


def test_without_balance_the_counts_change_nothing():
    loss = CrossEntropy()
    loss.balance(COUNTS)
    assert torch.equal(loss.weight, torch.ones(7))


def test_a_class_without_rows_keeps_the_weight_one():
    loss = FocalLoss(class_weights="balanced")
    loss.balance([0, 1, 1, 1, 1, 1, 1])
    assert loss.weight[0] == 1
    assert torch.isfinite(loss(LOGITS, LABELS))


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("labels", [LABELS, SHARES], ids=["labels", "shares"])
def test_cross_entropy_selects_nothing_for_which_a_cuda_device_would_be_waited_for(
    labels, smoothing
):
    loss = CrossEntropy(smoothing)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        loss(LOGITS, labels)
    operations = {event.key for event in profiler.key_averages()}
    assert "aten::log_softmax" in operations
    assert not operations & {"aten::masked_select", "aten::nonzero", "aten::item"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"label_smoothing": 1.0},
            r"loss\.label_smoothing must be a number >= 0 and < 1; got 1\.0",
        ),
        ({"label_smoothing": -0.1}, r"loss\.label_smoothing"),
        ({"class_weights": "balance"}, r"did you mean 'balanced'"),
        ({"gamma": -1}, r"loss\.gamma must be a number >= 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(options, message):
    with pytest.raises(FerlabError, match=message):
        FocalLoss(**options)
