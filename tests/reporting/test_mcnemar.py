"""McNemar's test of two classifiers on the same images."""

import io
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistakes import mistake_of

from ferlab.reporting.mcnemar import Paired, compare_judged, confusion_of, read_predictions

counts = st.integers(0, 40)

_file = io.BytesIO()
np.save(_file, np.arange(3))
LONE_ARRAY = _file.getvalue()


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


def test_predictions_are_read_with_probabilities_or_classes_alone(tmp_path):
    path = tmp_path / "predictions.npz"
    probabilities = np.eye(7, dtype=np.float32)[[3, 3, 5]]
    np.savez(
        path,
        val_names=np.array(["v"]),
        val_labels=np.array([2]),
        val_predicted=np.array([4]),
        test_names=np.array(["a", "b", "c"]),
        test_labels=np.array([3, 1, 5]),
        test_probabilities=probabilities,
        test_clean=np.array([True, False, True]),
        test_private=np.array([False] * 3),
    )
    read = read_predictions(path)
    assert list(read) == ["val", "test", "test/clean"]
    assert read["val"][2].tolist() == [4]
    assert [column.tolist() for column in read["test/clean"]] == [["a", "c"], [3, 5], [3, 5]]
    matrix = confusion_of(path)
    assert matrix.shape == (7, 7)
    assert (matrix[3, 3], matrix[1, 3], matrix[5, 5], matrix.sum()) == (1, 1, 1, 3)


def test_a_flipped_bit_is_named(tmp_path):
    path = tmp_path / "predictions.npz"
    labels = np.random.default_rng(0).integers(0, 7, 999)
    np.savez_compressed(path, test_labels=labels, test_names=labels.astype(str))
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    assert "predictions.npz is damaged" in mistake_of(read_predictions, path)


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


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04.", LONE_ARRAY])
def test_damaged_predictions_are_named(tmp_path, content):
    path = tmp_path / "predictions.npz"
    path.write_bytes(content)
    assert "predictions.npz is damaged" in mistake_of(read_predictions, path)
    path.unlink()
    assert "there is no" in mistake_of(read_predictions, path)


@pytest.mark.parametrize(
    ("labels", "predicted", "said"),
    [
        ([0, 9], [0, 1], "unknown classes"),
        ([0], [0, 1], "columns of different lengths"),
        ([0.5, 1], [0, 1], ""),
    ],
)
def test_predictions_that_cannot_be_are_refused(tmp_path, labels, predicted, said):
    path = tmp_path / "predictions.npz"
    names = np.array(["a", "b"])
    np.savez(path, test_names=names, test_labels=np.array(labels), test_predicted=predicted)
    assert f"predictions.npz is damaged (test has {said}" in mistake_of(read_predictions, path)
