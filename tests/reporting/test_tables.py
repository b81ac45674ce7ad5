import csv
import json
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.reporting.predictions import Predictions
from ferlab.reporting.tables import (
    classification_report,
    confusion,
    confusion_to_csv,
    evaluate,
    format_accuracy,
    format_report,
    report_to_csv,
)


def predictions(
    labels: list[int], predicted: list[int], confidence: float = 0.7
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return labels (N,) and probabilities (N, 7) whose highest entry is at `predicted`."""
    probabilities = np.full((len(labels), 7), (1 - confidence) / 6, dtype=np.float32)
    probabilities[np.arange(len(labels)), predicted] = confidence
    return np.array(labels, dtype=np.int64), probabilities


def f1_by_counting(labels: list[int], predicted: list[int], which: int) -> float:
    pairs = list(zip(labels, predicted, strict=True))
    hits = sum(truth == which == guess for truth, guess in pairs)
    return 2 * hits / (labels.count(which) + predicted.count(which))


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(pairs=pairs, confidence=st.floats(0.2, 1))
def test_metrics_agree_with_counting_by_hand(
    pairs: list[tuple[int, int]], confidence: float
) -> None:
    truth, guess = (list(column) for column in zip(*pairs, strict=True))
    values = evaluate(*predictions(truth, guess, confidence))

    present = sorted(set(truth))
    f1 = {which: f1_by_counting(truth, guess, which) for which in present}
    hits = sum(a == b for a, b in pairs)
    eps = 2.0**-23
    right, wrong = min(confidence, 1 - eps), max((1 - confidence) / 6, eps)
    loss = -(hits * math.log(right) + (len(pairs) - hits) * math.log(wrong)) / len(pairs)
    expected = {
        "images": len(pairs),
        "accuracy": pytest.approx(hits / len(pairs)),
        "loss": pytest.approx(loss, rel=1e-4, abs=1e-6),
        "macro_f1": pytest.approx(sum(f1.values()) / len(present)),
        "weighted_f1": pytest.approx(sum(f1[which] for which in truth) / len(truth)),
    }
    assert {name: values[name] for name in expected} == expected
    json.dumps(values)  # plain numbers


@settings(max_examples=50, deadline=None)
@given(pairs=pairs)
def test_averages_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    truth, guess = (list(column) for column in zip(*pairs, strict=True))
    values = evaluate(*predictions(truth, guess))
    for average in ("macro", "weighted"):
        scores = precision_recall_fscore_support(
            truth, guess, labels=sorted(set(truth)), average=average, zero_division=0
        )
        for name, score in zip(("precision", "recall", "f1"), scores, strict=False):
            assert values[f"{average}_{name}"] == pytest.approx(score, abs=1e-6)


def test_loss_stays_within_the_precision_of_float32() -> None:
    none, whole = predictions([0], [1], confidence=1), predictions([0], [0], confidence=1)
    assert evaluate(*none)["loss"] == pytest.approx(23 * math.log(2))
    assert evaluate(*whole)["loss"] == pytest.approx(2**-23, rel=1e-3)


def test_a_class_without_images_does_not_lower_macro_f1() -> None:
    labels, probabilities = predictions([3, 3, 5], [3, 3, 5])
    assert evaluate(labels, probabilities)["macro_f1"] == 1
    assert classification_report(labels, probabilities)["macro avg"]["f1-score"] == 1


@pytest.mark.parametrize("judge", [evaluate, classification_report, confusion])
def test_no_images_is_a_programming_mistake(judge: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="no images"):
        judge(np.zeros(0, np.int64), np.zeros((0, 7), np.float32))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_diverged_network_is_refused_rather_than_judged(broken: float) -> None:
    labels, probabilities = predictions([0, 0, 0], [0, 0, 0])
    probabilities[1, 4] = broken
    with pytest.raises(FerlabError, match="1 of 3 images"):
        evaluate(labels, probabilities)


@settings(max_examples=50, deadline=None)
@given(pairs=pairs)
def test_confusion_counts_truth_in_rows_and_predictions_in_columns(
    pairs: list[tuple[int, int]],
) -> None:
    truth, guess = (list(column) for column in zip(*pairs, strict=True))
    matrix = confusion(*predictions(truth, guess))
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[pairs.count((row, col)) for col in range(7)] for row in range(7)]


# angry: 2 of 3 found, 2 of 3 rightly named; happy: 3 of 4 found, 3 of 4 rightly named; sad: found
TRUTH, GUESS = [0, 0, 0, 3, 3, 3, 3, 5], [0, 0, 3, 3, 3, 3, 0, 5]


def test_report_agrees_with_counting_by_hand() -> None:
    report = classification_report(*predictions(TRUTH, GUESS))
    assert list(report) == [*EMOTIONS, "accuracy", "macro avg", "weighted avg"]

    def entry(score: float, support: int) -> dict[str, object]:
        value = pytest.approx(score)
        return {"precision": value, "recall": value, "f1-score": value, "support": support}

    assert report["angry"] == entry(2 / 3, 3)
    assert report["happy"] == entry(3 / 4, 4)
    assert report["sad"] == entry(1, 1)
    assert report["disgust"] == entry(0, 0)
    assert report["accuracy"] == 6 / 8
    assert report["macro avg"] == entry((2 / 3 + 3 / 4 + 1) / 3, 8)
    assert report["weighted avg"] == entry((3 * 2 / 3 + 4 * 3 / 4 + 1) / 8, 8)


def test_report_tells_precision_from_recall() -> None:
    report = classification_report(*predictions([3, 3, 4], [3, 4, 4]))
    assert report["happy"]["precision"] == 1
    assert report["happy"]["recall"] == 0.5


def test_report_survives_json_in_any_key_order() -> None:
    report = classification_report(*predictions([3, 3, 4], [3, 4, 4]))
    loaded = json.loads(json.dumps(report, sort_keys=True))
    assert loaded == report
    assert report_to_csv(loaded) == report_to_csv(report)


def test_table_shows_each_class_then_accuracy_and_averages() -> None:
    report = classification_report(*predictions(TRUTH, GUESS))
    assert format_report(report, "Model F, test") == (
        "Model F, test\n"
        "\n"
        "              precision     recall   f1-score    support\n"
        "\n"
        "angry            0.6667     0.6667     0.6667          3\n"
        "disgust               -          -          -          0\n"
        "fear                  -          -          -          0\n"
        "happy            0.7500     0.7500     0.7500          4\n"
        "neutral               -          -          -          0\n"
        "sad              1.0000     1.0000     1.0000          1\n"
        "surprise              -          -          -          0\n"
        "\n"
        "accuracy                               0.7500          8\n"
        "macro avg        0.8056     0.8056     0.8056          8\n"
        "weighted avg     0.7500     0.7500     0.7500          8\n"
    )


def test_csv_holds_the_report_in_full_precision_and_nothing_for_lack_of_data() -> None:
    report = classification_report(*predictions(TRUTH, GUESS))
    header, *rows = csv.reader(report_to_csv(report).splitlines())
    assert header == ["class", "precision", "recall", "f1-score", "support"]
    cells = {name: values for name, *values in rows}
    assert list(cells) == list(report)
    assert [float(cell) for cell in cells["angry"]] == list(report["angry"].values())
    assert cells["disgust"] == ["", "", "", "0"]
    assert cells["accuracy"] == ["", "", "0.75", "8"]


def test_accuracy_of_the_report_carries_its_interval() -> None:
    assert format_accuracy(0.6293, 7178) == "62.93 % ± 1.12"


@given(n=st.integers(1, 10_000), data=st.data())
def test_interval_ends_where_the_score_test_rejects(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    half_width = float(format_accuracy(hits / n, n).split("±")[1]) / 100
    # Wilson's bounds are the two shares p with |hits / n - p| = 1.96 standard errors of p itself
    z = 1.959964
    bounds = np.roots([1 + z**2 / n, -(2 * hits / n + z**2 / n), (hits / n) ** 2]).real
    assert half_width == pytest.approx((bounds.max() - bounds.min()) / 2, abs=6e-5)


def test_an_accuracy_on_no_images_is_a_programming_mistake() -> None:
    with pytest.raises(ValueError, match="n=0"):
        format_accuracy(0.5, 0)


def test_nothing_warns_when_classes_are_missing_or_never_predicted() -> None:
    labels, probabilities = predictions([1, 1, 2], [0, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(labels, probabilities)
        classification_report(labels, probabilities)
        confusion(labels, probabilities)


def test_the_confusion_matrix_has_a_row_per_true_class() -> None:
    matrix = np.zeros((7, 7), dtype=np.int64)
    matrix[0, 3] = 5
    header, first, *others = csv.reader(confusion_to_csv(matrix).splitlines())
    assert header == ["true", *EMOTIONS]
    assert first == ["angry", "0", "0", "0", "5", "0", "0", "0"]
    assert all(set(row[1:]) == {"0"} for row in others)


def test_the_worst_mistakes_are_the_most_confident_ones() -> None:
    labels, probabilities = predictions([0, 0, 0, 0], [0, 3, 3, 3])
    probabilities[:, 3] += [0, 0.1, 0.3, 0.2]
    images = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(48, 2).repeat(48, 3)
    judged = Predictions(np.array(list("abcd")), images, labels, probabilities, {})
    assert [image[0, 0] for _, image in judged.worst(2)] == [2, 3]
    assert judged.worst(1)[0][0] == "happy, 100.0 %\nlabelled angry"
