"""Lines of the comparison: chosen, put in order, and grouped over seeds."""

import pytest
from entries import entry
from mistakes import mistake_of

from ferlab.reporting.entries import Score, choose, of_each, ordered, over_seeds


def folders(entries):
    return [one.folder for one in entries]


def test_the_best_comes_first_and_what_was_not_measured_last():
    entries = [entry("a"), entry("b", 0.5), entry("c", 0.7), entry("d", 0.5)]
    assert folders(ordered(entries, "val")) == ["c", "b", "d", "a"]


def test_costs_and_names_begin_with_the_least():
    entries = [entry("a", macs=5), entry("b"), entry("c", macs=3, model="Z")]
    assert folders(ordered(entries, "macs")) == ["c", "a", "b"]
    assert folders(ordered(entries, "model")) == ["a", "b", "c"]


def test_an_unknown_column_is_a_mistake():
    assert "did you mean 'val'" in mistake_of(ordered, [], "vall")
    assert "did you mean 'model'" in mistake_of(choose, [], {"modell": "A"})
    assert "where must map columns to values" in mistake_of(choose, [], ["model"])


def test_columns_choose_together_and_values_of_one_column_side_by_side():
    entries = [
        entry("a", model="F"),
        entry("b", model="C", seed=1),
        entry("c", model="F", optimizer="sgd"),
    ]
    assert folders(choose(entries, {"model": ["F", "C"], "optimizer": "adam"})) == ["a", "b"]
    assert folders(choose(entries, {"seed": 1})) == ["b"]
    assert folders(choose(entries, None)) == ["a", "b", "c"]


def test_the_first_of_each_stands_in_front():
    entries = [entry("a"), entry("b"), entry("c", model="B"), entry("d", optimizer="sgd")]
    assert folders(of_each(entries, "model")) == ["a", "c", "b", "d"]
    assert folders(of_each(entries, "model", "optimizer")) == ["a", "c", "d", "b"]


def test_runs_that_differ_in_their_seed_alone_have_mean_and_deviation():
    same = {"lr": 0.1}
    entries = [
        entry("a", 0.5, seed=0, settings=same),
        entry("b", 0.6, seed=1, settings=same),
        entry("c", 0.9, seed=2, settings={"lr": 0.2}),
        entry("d", 0.9, seed=1, settings=same),  # the seed is there already
        entry("e", 0.7, seed=2, settings=same, kind="evaluation"),
    ]
    (group,) = over_seeds(entries)
    assert folders(group.entries) == ["a", "b"]
    assert group.spread("val") == pytest.approx((0.55, 0.0707107), abs=1e-6)
    assert group.spread("test") is None


def test_over_seeds_the_highest_mean_validation_stands_first():
    def of(name, *accuracies):
        return [
            entry(f"{name}{seed}", val, seed=seed, settings={"recipe": name})
            for seed, val in enumerate(accuracies)
        ]

    given = [*of("even", 0.6, 0.6), *of("none", None, None), *of("uneven", 0.9, 0.4)]
    recipes = [group.entries[0].settings["recipe"] for group in over_seeds(given)]
    assert recipes == ["uneven", "even", "none"]


def test_the_lowest_validation_loss_stands_first_in_its_order():
    given = [
        entry(name, scores={"val": Score(0.5, loss=loss)})
        for name, loss in (("a", 0.9), ("b", 0.8))
    ]
    assert folders(ordered(given, "val_loss")) == ["b", "a"]


def test_what_is_not_known_stands_last_in_every_order():
    given = [entry("a", commit=""), entry("b", commit="1"), entry("c", commit="0")]
    assert folders(ordered(given, "commit")) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"test": 10, "public": 10}, "PublicTest, 10 images"),
        ({"test": 10, "private": 10}, "PrivateTest, 10 images"),
        (
            {"test": 7178, "public": 3589, "private": 3589},
            "PublicTest and PrivateTest, 7,178 images",
        ),
        ({"test": 10}, "test, 10 images"),
        ({"test": None}, "test images of unknown number"),
        ({}, "no test images"),
    ],
)
def test_the_test_images_are_named(scores, said):
    one = entry("a", scores={name: Score(0.5, images) for name, images in scores.items()})
    assert one.judged_on == said
    assert one.test_set == f"FER-2013, {said}"


def test_over_seeds_neither_order_nor_scores_decide_which_of_two_runs_counts():
    given = [entry("a", 0.5, seed=0), entry("b", 0.7, seed=0), entry("c", 0.6, seed=1)]
    for order in (given, given[::-1]):
        (group,) = over_seeds(order)
        assert sorted(folders(group.entries)) == ["a", "c"]


def test_pupils_of_different_teachers_are_no_repetition():
    given = [entry("a", seed=0, teachers="1f"), entry("b", seed=1, teachers="2e")]
    assert not over_seeds(given)


def test_runs_of_other_precision_or_device_are_no_repetition():
    given = [entry("a", seed=0, computed="cpu, 32-true")]
    given += [entry("b", seed=1, computed="cuda, bf16-mixed")]
    assert not over_seeds(given)
