"""Which training images validate, as a configuration says it."""

from collections.abc import Mapping
from typing import Any

from ferlab.files import read_yaml
from ferlab.instantiate import conf_folder


def validates(config: Mapping[str, Any]) -> bool:
    """Return whether any of the training images are left out to validate."""
    return bool(config["data"]["val_fraction"] != 0)


def split_seed(config: Mapping[str, Any]) -> Any:
    """Return the seed of the split that a configuration names; an older run's followed its seed."""
    return config["data"].get("split_seed", config["seed"])


def split_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return FaceDataModule's arguments that settle which of the same images train and validate.

    Raises:
        KeyError: the configuration lacks one.
    """
    data = config["data"]
    return {
        **{key: data[key] for key in ("val_fraction", "twins", "blank", "limit")},
        "split_seed": split_seed(config),
        "folds": data.get("folds"),  # a person's own conf/data may have none
        "fold": data.get("fold", 0),
    }


def split_settings(config: Mapping[str, Any]) -> dict[str, object]:
    """Return what settles which of the same images validate, by dotted key."""
    settled = split_arguments(config)
    return {f"data.{key}": settled[key] for key in settled if key not in ("folds", "fold")}


def shipped_split_settings() -> dict[str, object]:
    """Return those of ferlab's own configuration: by this split shipped weights were validated."""
    return split_settings({"data": read_yaml(conf_folder() / "data/fer2013.yaml"), "seed": 0})
