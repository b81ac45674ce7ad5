"""Objects from configuration: Hydra's instantiation, with a person's mistakes in one line."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hydra.utils
import yaml
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from ferlab.checks import FerlabError

_PACKAGE = Path(__file__).parent


def conf_folder() -> Path:
    """Return the folder of the configuration: inside the wheel, else the checkout's."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "conf"


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the resolved configuration as plain Python values."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def instantiate(config: DictConfig | Mapping[str, Any], group: str, **arguments: Any) -> Any:
    """Return the object that `config` names with `_target_`, built with plain Python values.

    Args:
        config: a node with `_target_`.
        group: the node's name in the configuration, for messages.
        arguments: further keyword arguments, which override the node's.

    Raises:
        FerlabError: the target cannot be found, or refuses its arguments.
    """
    try:
        return hydra.utils.instantiate(config, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, FerlabError):
            raise cause from None
        reason = str(cause or error).splitlines()[0]
        raise FerlabError(f"{group}: {reason}") from error


def check_targets(config: object, place: str) -> None:
    """Make sure that a configuration from somebody else names nothing but what ferlab ships.

    Raises:
        FerlabError: a `_target_` is not one of the exact names in the shipped `conf/`: importing
            it could run anything.
    """
    for target in _targets(config):
        if target not in shipped_targets():
            raise FerlabError(
                f"{place} names {target!r}, which ferlab does not ship and which could run "
                "anything; trust=true imports it all the same"
            )


@cache
def shipped_targets() -> frozenset[object]:
    """Return every `_target_` in the shipped configuration."""
    files = (path for path in conf_folder().rglob("*.yaml") if "local" not in path.parts)
    return frozenset(
        target
        for path in files
        for target in _targets(yaml.safe_load(path.read_text(encoding="utf-8")))
    )


def _targets(config: object) -> Iterator[object]:
    """Yield the values of all keys `_target_`, at any depth."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "_target_":
                yield value
            yield from _targets(value)
    elif isinstance(config, list):
        for value in config:
            yield from _targets(value)
