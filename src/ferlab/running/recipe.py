"""A configuration of train as a file of `conf/experiment`."""

import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ferlab.instantiate import conf_folder
from ferlab.keys import flatten, settles_result
from ferlab.running.known import local_values, without_local

_NOT_OF_A_RECIPE = ("experiment", "debug", "logger", "tune")


def write_recipe(config: DictConfig, comment: Sequence[str]) -> str:
    """Return the text of an experiment that composes to `config`.

    It names the groups of this process's configuration, and then each value that differs from
    theirs; where the data lie and what else does not change the result is left out.

    Args:
        config: train's, with its interpolations.
        comment: lines to open with.
    """
    groups, usual = _groups()
    recipe = {
        "defaults": [{f"override /{group}": choice} for group, choice in groups.items()],
        **_nested(_differences(usual, _raw(config))),
    }
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join(["# @package _global_", *(f"# {line}" for line in comment), text])


def training_commands(config: DictConfig, recipe: Path, name: str) -> tuple[str, str]:
    """Return what puts a recipe where experiments are looked for, and what then trains it.

    A file can add to the groups and change what they hold; what this process's command line took
    out of them must be taken out again, and what a person's own `conf/local` sets to something else
    must be set, for it has the last word.

    Args:
        config: that the recipe was written of.
        recipe: the file.
        name: of the experiment.
    """
    in_checkout = conf_folder() == Path("conf").absolute()
    conf = "conf" if in_checkout else "recipes"
    put = shlex.join(["cp", os.path.relpath(recipe), f"{conf}/experiment/{name}.yaml"])
    start = ["python", "train.py"] if in_checkout else ["ferlab", "train", "--config-dir", conf]
    wanted = _raw(config)
    values = flatten(wanted)
    held = [
        f"{key}={json.dumps(values[key])}"
        for key, own in flatten(local_values()).items()
        if settles_result(key) and key in values and values[key] != own
    ]
    changed = [*_removed(_groups()[1], wanted), *held]
    return (
        put if in_checkout else f"mkdir -p {conf}/experiment && {put}",
        shlex.join([*start, f"experiment={name}", *changed]),
    )


def _groups() -> tuple[dict[str, str], Any]:
    """Return this process's groups, and what they compose to without `conf/local`."""
    groups = {
        group: choice
        for group, choice in reversed(HydraConfig.get().runtime.choices.items())
        if choice and group not in _NOT_OF_A_RECIPE and "/" not in group and "@" not in group
    }
    chosen = [f"{group}={choice}" for group, choice in groups.items()]
    return groups, _raw(hydra.compose("train", [*chosen, *without_local()]))


def _removed(
    usual: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    """Yield an override per key that `wanted` lacks."""
    for key, before in usual.items():
        name = f"{prefix}{key}"
        if key not in wanted:
            if settles_result(name):
                yield f"~{name}"
        elif isinstance(before, Mapping) and isinstance(wanted[key], Mapping):
            yield from _removed(before, wanted[key], f"{name}.")


def _raw(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=False)


def _differences(
    usual: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of all that differs; a list is one value."""
    for key, value in wanted.items():
        name = f"{prefix}{key}"
        if not settles_result(name):
            continue
        before = usual.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            yield from _differences(before, value, f"{name}.")
        elif key not in usual or value != before:
            yield name, value


def _nested(leaves: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in leaves:
        *parents, key = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = value
    return nested
