"""The keys that a configuration may have: what nothing reads is a slip of the pen."""

import difflib
from functools import cache
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from ferlab.checks import FerlabError
from ferlab.files import read_yaml
from ferlab.instantiate import conf_folder
from ferlab.keys import flatten

CLOSED = ("data", "trainer", "checkpoint", "features", "tune")
"""Nodes whose keys are checked here, beside the top one; who reads another node checks its keys."""

_LOCAL = "local/default"


def check_known(stage: str, config: DictConfig) -> None:
    """Raise FerlabError where the configuration has a key that the stage does not read.

    A person's own `conf/local` may set what another stage reads, and a source of their own may
    bring keys of its own to the data.
    """
    shipped, local = _shipped(stage), local_values()
    for node in ("", *CLOSED):
        values = config.get(node) if node else config
        known = set(_at(shipped, node))
        if not isinstance(values, DictConfig):
            if known:
                held = f"{node}.{min(known)}"
                raise FerlabError(f"{node} is a group, not {values}; set what it holds, as {held}=")
            continue
        if node == "data" and "source" in known:
            source = values.get("source")
            target = source.get("_target_") if isinstance(source, DictConfig) else ""
            known = _shipped_data().get(str(target), set(map(str, values)))
        known = known.union(_at(local, node))
        for key in map(str, values):
            if key not in known:
                raise FerlabError(unknown_key(stage, f"{node}.{key}" if node else key))


def unknown_key(stage: str, key: str) -> str:
    """Return what is wrong and what to do, of a dotted key that a configuration does not have.

    Args:
        stage: the configuration's.
        key: of the command line, or of a file.
    """
    node, _, word = key.rpartition(".")
    shipped = _shipped(stage)
    leaves = flatten(shipped)
    if isinstance(shipped.get(f"{key}s"), list):
        return f"there is no {key} to choose; name those you mean in {key}s=[…]"
    if isinstance(shipped.get(key), dict):
        held = next(iter(shipped[key]))
        return f"{key} is no group of {stage}; set what it holds, as {key}.{held}="
    if node and key in leaves:  # of what the stage's file chooses, not of what was chosen here
        return f"{node} as chosen here has no {word}; leave {key} out"
    beside = [name for name in leaves if name.rpartition(".")[0] == node]
    by_word = {name.rpartition(".")[2]: name for name in (node and beside) or leaves}
    close = difflib.get_close_matches(word, by_word, n=1)
    hint = f", did you mean {by_word[close[0]]}?" if close else ""
    if node in ("", *CLOSED):
        return f"there is no {key}{hint}; {node or stage} has {', '.join(_at(shipped, node))}"
    return f"there is no {key}{hint}; to add one, write +{key}="


def _at(values: dict[str, Any], node: str) -> dict[str, Any]:
    return values if not node else values.get(node) or {}


@cache
def _shipped(stage: str) -> dict[str, Any]:
    """Return what the stage's file composes to without a word on the command line."""
    values = read_yaml(conf_folder() / f"{stage}.yaml")
    for entry in values.pop("defaults"):
        if isinstance(entry, str):  # a whole file, or this one's place in the order
            values = {**({} if entry == "_self_" else _shipped(entry)), **values}
            continue
        ((group, choice),) = entry.items()
        if choice is not None and not group.startswith(("optional", "override")):
            name, _, package = group.partition("@")
            *outer, node = (package or name).split(".")
            place = values
            for part in outer:
                place = place.setdefault(part, {})
            of_group = read_yaml(conf_folder() / name / f"{choice}.yaml")
            place[node] = {**of_group, **(place.get(node) or {})}
    values.pop("hydra", None)
    return values


@cache
def _shipped_data() -> dict[str, set[str]]:
    """Return the keys of each group of `conf/data`, by the target of its source."""
    groups = [read_yaml(path) for path in sorted((conf_folder() / "data").glob("*.yaml"))]
    return {group["source"]["_target_"]: set(group) for group in groups}


def local_values() -> dict[str, Any]:
    """Return what a person's own `conf/local` sets for all stages, wherever Hydra finds it."""
    for source in GlobalHydra.instance().config_loader().get_sources():
        if source.is_config(_LOCAL):
            values = OmegaConf.to_container(source.load_config(_LOCAL).config)
            assert isinstance(values, dict)  # or Hydra would have refused it
            return {str(key): value for key, value in values.items()}
    return {}


def without_local() -> list[str]:
    """Return the overrides with which a configuration is composed without `conf/local`."""
    return ["~local@_global_"] if local_values() else []
