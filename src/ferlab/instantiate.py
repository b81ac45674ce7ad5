"""Objects from configuration: Hydra's instantiation, with a person's mistakes in one line."""

from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from ferlab.checks import FerlabError


def instantiate(config: DictConfig, group: str, **arguments: Any) -> Any:
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
