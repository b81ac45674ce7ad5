"""McNemar's test of two classifiers on the same images."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake_of

from ferlab.reporting.mcnemar import Paired, compare_judged

counts = st.integers(0, 40)


def judged(names, labels, predicted):
    return np.array(names), np.array(labels), np.array(predicted)


@settings(deadline=None)  # the first asks for SciPy
@given(first=counts, second=counts)
def test_p_is_the_share_of_coin_flips_at_least_as_uneven(first, second):
    n = first + second
    if n == 0:
        expected = 1.0
    else:
        tail = sum(comb(n, k) for k in range(min(first, second) + 1)) / 2**n
        expected = min(1.0, 2 * tail)
    assert Paired(100, first, second).p_value == pytest.approx(expected)


@settings(deadline=None)
@given(first=counts, second=counts, agreed=st.integers(0, 500))
def test_the_other_way_round_only_the_sign_changes(first, second, agreed):
    n = first + second + agreed + 1
    one, other = Paired(n, first, second), Paired(n, second, first)
    assert one.p_value == other.p_value
    assert one.difference == -other.difference
    assert one.interval == pytest.approx(tuple(-end for end in reversed(other.interval)))
    assert -1 <= one.interval[0] <= one.interval[1] <= 1


def test_the_interval_is_agresti_and_mins():
    # their Table 1 (2005): 59 and 16 discordant of 161; Wald plus 2 by hand
    low, high = Paired(161, 59, 16).interval
    middle, n = (59.5 - 16.5) / 163, 163
    half = 1.959964 * ((59.5 + 16.5) - 43**2 / n) ** 0.5 / n
    assert (low, high) == pytest.approx((middle - half, middle + half))


def test_images_are_matched_by_name_whatever_their_order():
    one = {"test": judged(["a", "b", "c", "d"], [0, 1, 2, 3], [0, 1, 2, 0])}
    other = {"test": judged(["d", "c", "b", "a"], [3, 2, 1, 0], [3, 0, 0, 0])}
    assert compare_judged(one, other) == {"test": Paired(4, first_alone=2, second_alone=1)}


def test_splits_of_different_images_are_left_out_and_without_any_other_it_is_a_mistake():
    one = {"val": judged(["a"], [0], [0]), "test": judged(["x"], [0], [0])}
    other = {"val": judged(["b"], [0], [0]), "test": judged(["x"], [0], [1])}
    relabelled = {"test": judged(["x"], [1], [1])}
    assert list(compare_judged(one, other)) == ["test"]
    assert "different images" in mistake_of(compare_judged, one, {"val": other["val"]})
    assert "different images" in mistake_of(compare_judged, one, relabelled)


@pytest.mark.parametrize(
    ("paired", "said"),
    [
        (Paired(1000, 40, 10), "+3.00 points of accuracy"),
        (Paired(1000, 40, 10), "p < 0.0001); the first is better by more than chance gives"),
        (Paired(1000, 10, 40), "the second is better"),
        (Paired(1000, 12, 10), "p = 0.8318); that is no more than chance gives"),
    ],
)
def test_a_sentence_says_what_came_out(paired, said):
    assert said in paired.sentence("test")


def test_test_images_of_the_same_data_are_matched_in_whatever_form_they_were_read():
    folder = {"test": judged(["a", "b"], [0, 1], [0, 0]), "val": judged(["c"], [0], [0])}
    table = {"test": judged(["x:1", "x:2"], [0, 1], [1, 1]), "val": judged(["x:3"], [0], [0])}
    expected = {"test": Paired(2, first_alone=1, second_alone=1)}
    assert compare_judged(folder, table, same_data=True) == expected
    assert "different images" in mistake_of(compare_judged, folder, table)


def test_other_images_of_the_same_data_are_not_matched_by_their_order():
    one = {"test": judged(["a", "b"], [0, 1], [0, 0])}
    other = {"test": judged(["b", "c"], [0, 1], [0, 0])}
    assert "different images" in mistake_of(compare_judged, one, other, True)
