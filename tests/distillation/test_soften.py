"""Soft labels: the teachers' share of each, the label's own the rest."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlab.distillation.soften import choose_teachers, mean_of_chosen, soften

LABELS = torch.tensor([0, 3, 6, 3])
PROBABILITIES = torch.rand(4, 7, generator=torch.Generator().manual_seed(0)).softmax(dim=1)


def test_a_share_of_each_label_is_the_teachers():
    soft = soften(LABELS, PROBABILITIES, 0.25)
    for row, label in enumerate(LABELS):
        for emotion in range(7):
            own = 0.75 if emotion == label else 0.0
            expected = own + 0.25 * PROBABILITIES[row, emotion]
            assert torch.isclose(soft[row, emotion], expected)


@given(st.floats(0, 1))
@settings(deadline=None)
def test_the_shares_of_the_classes_are_a_distribution(share):
    soft = soften(LABELS, PROBABILITIES, share)
    assert soft.dtype == torch.float32
    assert soft.min() >= 0
    assert torch.allclose(soft.sum(dim=1), torch.ones(4))


def test_without_a_share_the_labels_stay_and_with_all_of_it_the_teachers_decide():
    assert torch.equal(soften(LABELS, PROBABILITIES, 0).argmax(dim=1), LABELS)
    assert torch.equal(soften(LABELS, PROBABILITIES, 1), PROBABILITIES)


PREDICTED = torch.rand(3, 4, 7, generator=torch.Generator().manual_seed(1)).softmax(dim=2)


def mean_of_those_chosen(seen):
    return mean_of_chosen(PREDICTED, choose_teachers(seen))


def test_those_that_have_not_seen_an_image_label_it():
    seen = torch.tensor([[0, 1, 1, 1], [1, 0, 1, 0], [1, 0, 1, 0]], dtype=torch.bool)
    mean = mean_of_those_chosen(seen)
    assert torch.allclose(mean[0], PREDICTED[0, 0])
    assert torch.allclose(mean[1], (PREDICTED[1, 1] + PREDICTED[2, 1]) / 2)
    assert torch.allclose(mean[2], PREDICTED[:, 2].mean(dim=0))  # of which there are none
    assert torch.allclose(mean[3], (PREDICTED[1, 3] + PREDICTED[2, 3]) / 2)


def test_where_all_have_seen_everything_or_nothing_all_label():
    for seen in (torch.ones(3, 4, dtype=torch.bool), torch.zeros(3, 4, dtype=torch.bool)):
        assert torch.allclose(mean_of_those_chosen(seen), PREDICTED.mean(dim=0))
