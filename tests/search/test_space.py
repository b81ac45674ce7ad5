"""What a search may vary."""

import pytest
from mistakes import mistake_of
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ferlab.search.space import parse_space

CONFIG = {
    "seed": 0,
    "monitor": "val/accuracy",
    "data.batch_size": 64,
    "data.val_fraction": 0.1,
    "optimizer.lr": 5e-4,
    "augment.transforms.rotation": 15,
    "augment.test_time": "none",
    "distillation.teachers.0": "weights/F",
    "logger.confusion_every": 10,
    "trainer.gradient_clip": None,
    "model.layers.0.dropout": 0.25,
}
LOW_HIGH = {"low": 1, "high": 4}


def test_a_range_has_the_type_of_the_value_that_it_varies():
    parsed = parse_space(
        {
            "augment.transforms.rotation": LOW_HIGH,
            "optimizer.lr": LOW_HIGH,
            "trainer.gradient_clip": {"low": 0.5, "high": 4},
            "data.batch_size": {"low": 16, "high": 64, "step": 16},
        },
        CONFIG,
    )
    assert parsed == {
        "augment.transforms.rotation": IntDistribution(1, 4),
        "optimizer.lr": FloatDistribution(1, 4),
        "trainer.gradient_clip": FloatDistribution(0.5, 4),
        "data.batch_size": IntDistribution(16, 64, step=16),
    }


def test_nested_and_dotted_keys_say_the_same_and_null_leaves_one_out():
    nested = {
        "optimizer": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        "model": {"layers": {"0": {"dropout": {"choices": [0.0, 0.5]}}}},
        "data": {"batch_size": None},
    }
    assert parse_space(nested, CONFIG) == {
        "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "model.layers.0.dropout": CategoricalDistribution([0.0, 0.5]),
    }
    dotted = {
        "optimizer.lr": nested["optimizer"]["lr"],
        "model.layers.0.dropout": {"choices": [0.0, 0.5]},
    }
    assert parse_space(dotted, CONFIG) == parse_space(nested, CONFIG)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (5, "tune.space must map keys to ranges; got 5"),
        ({}, "tune.space is empty; add a key"),
        ({"optimizer.lr": None}, "tune.space is empty"),
        ({"optimizer.lrr": LOW_HIGH}, "does not have, did you mean 'optimizer.lr'?"),
        ({"optimizer": {"lr": 5}}, "tune.space.optimizer.lr must be {low, high} or {choices}"),
        ({"seed": LOW_HIGH}, "tune.space cannot vary 'seed': all trials are judged on"),
        ({"data.val_fraction": {"low": 0.1, "high": 0.2}}, "cannot vary 'data.val_fraction'"),
        ({"monitor": {"choices": ["val/loss"]}}, "cannot vary 'monitor'"),
        ({"augment.test_time": {"choices": ["none", "flip"]}}, "no trial's value depends on it"),
        ({"distillation.teachers.0": {"choices": ["a", "b"]}}, "no trial's value depends on it"),
        ({"logger.confusion_every": LOW_HIGH}, "no trial's value depends on it; leave it out"),
        ({"optimizer.lr": {"low": 1, "hihg": 2}}, "has no 'hihg', did you mean 'high'?"),
        ({"optimizer.lr": {"low": 1}}, "tune.space.optimizer.lr lacks 'high'"),
        ({"optimizer.lr": {"low": 2, "high": 2}}, "low must be below high; got 2 and 2"),
        ({"optimizer.lr": {"low": 0, "high": 1, "log": True}}, "low must be a number > 0; got 0"),
        ({"optimizer.lr": {"low": "x", "high": 1}}, "low must be a number; got 'x'"),
        ({"optimizer.lr": {"low": 0, "high": 1, "log": 1}}, "log must be true or false; got 1"),
        ({"optimizer.lr": {"low": 1, "high": 2, "log": True, "step": 0.5}}, "both log and step"),
        ({"optimizer.lr": {"low": 0, "high": 1, "step": 0}}, "step must be a number > 0; got 0"),
        ({"optimizer.lr": {"low": 0, "high": 1, "step": 0.3}}, "a whole number of steps; got 0, 1"),
        ({"optimizer.lr": {"low": 0, "high": float("inf")}}, "high must be a number < inf"),
        ({"optimizer.lr": {"choices": []}}, "choices must be a list such as [64, 128]; got []"),
        ({"optimizer.lr": {"choices": [[1]]}}, "choices must be numbers, words, true, false"),
        ({"optimizer.lr": {"choices": [1], "low": 1}}, "both choices and a range"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(space, message):
    assert message in mistake_of(parse_space, space, CONFIG)
