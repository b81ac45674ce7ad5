"""Loss and accuracy of an epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from ferlab.learning.metrics import EpochMetrics


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 99))
def test_the_epochs_values_are_those_of_all_its_samples_together(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    metrics = EpochMetrics()
    logits, labels = [], []
    for size in sizes:
        logits.append(torch.randn(size, 7, generator=generator))
        labels.append(torch.randint(7, (size,), generator=generator))
        loss = torch.nn.functional.cross_entropy(logits[-1], labels[-1])
        metrics.update(logits[-1], labels[-1], loss)
    truth, predicted = torch.cat(labels).numpy(), torch.cat(logits).argmax(dim=1).numpy()
    probabilities = torch.cat(logits).double().softmax(dim=1).numpy()
    values = metrics.compute()
    assert values["accuracy"].item() == pytest.approx(accuracy_score(truth, predicted))
    assert values["loss"].item() == pytest.approx(
        log_loss(truth, probabilities, labels=range(7)), rel=1e-5
    )
    expected = confusion_matrix(truth, predicted, labels=range(7))
    assert np.array_equal(values["confusion"].numpy(), expected)


def test_a_reset_forgets_the_epoch_before():
    metrics = EpochMetrics()
    metrics.update(torch.eye(7), torch.zeros(7, dtype=torch.int64), torch.tensor(2.0))
    metrics.reset()
    metrics.update(torch.eye(7), torch.arange(7), torch.tensor(1.0))
    assert metrics.compute()["accuracy"] == 1
    assert metrics.compute()["loss"] == 1


def test_the_state_of_half_an_epoch_can_be_saved():
    metrics, resumed = EpochMetrics(), EpochMetrics()
    metrics.update(torch.eye(7), torch.zeros(7, dtype=torch.int64), torch.tensor(2.0))
    resumed.load_state_dict(metrics.state_dict())
    assert torch.equal(resumed.confusion, metrics.confusion)
    assert torch.equal(resumed.loss_sum, metrics.loss_sum)
