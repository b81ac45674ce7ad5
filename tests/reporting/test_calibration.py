"""Calibration, held against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlab.reporting.calibration import N_BINS, draw_reliability, reliability


def predictions(confidences, right):
    """Return labels and probabilities: class 0 is predicted with the given confidences."""
    probabilities = np.zeros((len(confidences), 7), dtype=np.float32)
    probabilities[:, 0] = confidences
    probabilities[:, 1:] = (1 - probabilities[:, :1]) / 6
    return np.where(right, 0, 1).astype(np.int64), probabilities


@given(st.lists(st.tuples(st.floats(0.2, 1), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_the_error_is_the_weighted_gap_of_the_bins(pairs):
    labels, probabilities = predictions(*zip(*pairs, strict=True))
    bins = reliability(labels, probabilities)
    error = 0.0
    for number in range(N_BINS):
        inside = [
            (float(confidence), right)
            for (_, right), confidence in zip(pairs, probabilities[:, 0], strict=True)
            if number / N_BINS < float(confidence) <= (number + 1) / N_BINS
        ]
        if inside:
            confidence, accuracy = np.mean(inside, axis=0)
            error += len(inside) / len(pairs) * abs(confidence - accuracy)
    assert bins.count.sum() == len(pairs)
    assert bins.error == pytest.approx(error, abs=1e-6)


def test_a_network_that_knows_what_it_knows_has_no_error():
    labels, probabilities = predictions([0.75] * 100, [True] * 75 + [False] * 25)
    assert reliability(labels, probabilities).error == pytest.approx(0)


def test_the_diagram_shows_the_accuracy_of_each_bin_and_the_error():
    bins = reliability(*predictions([0.5, 0.9, 0.9], [False, True, False]))
    upper, lower = draw_reliability(bins, "t").axes
    assert sorted(bar.get_height() for bar in upper.patches) == [0.0, 0.5]
    assert sum(bar.get_height() for bar in lower.patches) == 3
    assert upper.get_title(loc="left") == f"expected calibration error {bins.error:.3f}"
