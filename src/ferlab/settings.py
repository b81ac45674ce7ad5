"""What the configuration of a run says in a table of many."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from ferlab.files import read_yaml
from ferlab.instantiate import conf_folder
from ferlab.keys import flatten, settles_result

_SEEDS = ("seed", "data.source.seed")


def own_columns(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run's configuration says in columns of its own.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it is not the configuration of a run.
    """
    return {
        "model": str(config["model"]["name"]),
        "optimizer": optimizer_name(config),
        "augmentation": _augmentation(config["augment"]),
        "seed": int(config["seed"]),
        "data": str(config["data"]["title"]),
    }


def optimizer_name(config: Mapping[str, Any]) -> str:
    """Return the optimizer's class in small letters: `adam`."""
    return str(config["optimizer"]["_target_"]).rpartition(".")[-1].lower()


def all_settings(config: Mapping[str, Any]) -> dict[str, object]:
    """Return all that the result follows from but the seed, by dotted key."""
    return {
        key: value
        for key, value in flatten(config).items()
        if key not in _SEEDS and settles_result(key)
    }


def _augmentation(augment: Mapping[str, Any]) -> str:
    """Return the name of the shipped group that trains alike, else `own`."""
    training = {key: value for key, value in augment.items() if key != "test_time"}
    return next((name for name, shipped in _shipped().items() if shipped == training), "own")


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    """Return the groups of `conf/augment` by name, without what they say of test time."""
    groups = {}
    for path in sorted((conf_folder() / "augment").glob("*.yaml")):
        values = read_yaml(path)
        groups[path.stem] = {key: value for key, value in values.items() if key != "test_time"}
    return groups
