"""Objects from configuration: Hydra's instantiation, with a person's mistakes in one line."""

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import hydra.utils
import yaml
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from ferlab.checks import FerlabError

_PACKAGE = Path(__file__).parent
_UNKNOWN_ARGUMENT = re.compile(r"unexpected keyword argument '(\w+)'")


def conf_folder() -> Path:
    """Return the folder of the configuration: inside the wheel, else the checkout's."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "conf"


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration as plain Python values.

    Raises:
        FerlabError: it is nested too deeply.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except RecursionError as error:
        raise FerlabError("the configuration is nested too deeply") from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def instantiate(config: DictConfig | Mapping[str, Any], group: str, **arguments: Any) -> Any:
    """Return the object that `config` names with `_target_`, built with plain Python values.

    Args:
        config: a node with `_target_`.
        group: the node's name in the configuration, for messages.
        arguments: further keyword arguments, which override the node's.

    Raises:
        FerlabError: there is no target, it cannot be found, or it refuses its arguments.
    """
    if isinstance(config, DictConfig | Mapping) and "_target_" not in config:
        raise FerlabError(
            f"{group} has no _target_, which names what is made of it; "
            f"choose a file that has one, or take it out with '~{group}'"
        )
    try:
        made = hydra.utils.instantiate(config, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, FerlabError):
            raise cause from None
        raise FerlabError(_refusal(config, group, cause or error)) from error
    if isinstance(made, partial):  # so far nothing has looked at its arguments
        try:
            with contextlib.suppress(ValueError):  # what is written in C may have no signature
                inspect.signature(made.func).bind_partial(*made.args, **made.keywords)
        except TypeError as error:
            raise FerlabError(_refusal(config, group, error)) from error
    return made


def _refusal(config: DictConfig | Mapping[str, Any], group: str, error: BaseException) -> str:
    """Return in one line why the target of a node could not be called, and what to do."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    if unknown := _UNKNOWN_ARGUMENT.search(reason):
        return (
            f"{config['_target_']} has no {unknown[1]}; take {group}.{unknown[1]} out, where a "
            f"file sets it with '~{group}.{unknown[1]}'"
        )
    return f"{group}: {reason}"


def check_recorded(
    config: Mapping[str, Any], place: str, remedy: str = "trust=true imports it all the same"
) -> None:
    """Make sure that a configuration from somebody else names nothing but what ferlab ships.

    Args:
        config: groups of the configuration by name.
        place: the file that it comes from, for messages.
        remedy: what a person who trusts it can do.

    Raises:
        FerlabError: a `_target_` is not one of the exact names in the shipped files of its group:
            importing it could run anything. Or a value is an interpolation, which could take a
            secret out of the environment; what ferlab records has none.
    """
    for group, values in config.items():
        for key, value in _leaves(values):
            if key == "_target_" and value not in shipped_targets(group):
                raise FerlabError(
                    f"{place} names {value!r}, which ferlab does not ship for {group} and which "
                    f"could run anything; {remedy}"
                )
            if isinstance(value, str) and "${" in value:
                raise FerlabError(f"{place} is not resolved: {group} holds {value!r}")


@cache
def shipped_targets(group: str) -> frozenset[object]:
    """Return every `_target_` in the shipped files of a group; none where it is no group."""
    return frozenset(
        value
        for path in (conf_folder() / group).rglob("*.yaml")
        for key, value in _leaves(yaml.safe_load(path.read_text(encoding="utf-8")))
        if key == "_target_"
    )


def _leaves(config: object, key: object = None) -> Iterator[tuple[object, object]]:
    """Yield the innermost values, each with the last key on its way."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from _leaves(value, name)
    elif isinstance(config, list):
        for value in config:
            yield from _leaves(value, key)
    else:
        yield key, config
