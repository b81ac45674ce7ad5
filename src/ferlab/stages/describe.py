"""`ferlab describe`: the layers of networks, their shapes, parameters and multiply-accumulates."""

import logging
from collections.abc import Sequence

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from ferlab.checks import FerlabError, check_choice, did_you_mean
from ferlab.instantiate import plain
from ferlab.networks.shapes import as_text
from ferlab.networks.specs import NetworkSpec, parse_model
from ferlab.networks.summary import summarise
from ferlab.reporting.aligned import FORMATS
from ferlab.reporting.layers import format_network, format_side_by_side
from ferlab.running.entry import run_stage
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


def main(overrides: Sequence[str]) -> int:
    """Run the stage with these overrides; return the exit status."""
    return run_stage("describe", describe, overrides, sweeps=False)


def describe(config: DictConfig, folder: RunFolder) -> None:
    """Print the table of `model`, or of `models` side by side; nothing is written."""
    form = check_choice("format", config.format, FORMATS)
    if config.models is None:
        spec = parse_model(plain(config.model))
        title = f"Model {spec.name}, input {as_text(spec.input_shape)}"
        table = format_network(title, summarise(spec), form)
    else:
        networks = {name: summarise(_named(name)) for name in _names(config)}
        table = format_side_by_side(f"Models {', '.join(networks)}", networks, form)
    log.info("%s", table)


def _names(config: DictConfig) -> list[str]:
    """Return the names in `models`, each of which is one of `conf/model`."""
    names = plain(config)["models"]
    if not isinstance(names, list) or not names:
        raise FerlabError(f"models must be a list of names such as [A,F]; got {names!r}")
    known = GlobalHydra.instance().config_loader().get_group_options("model")
    for name in names:
        if name not in known:
            raise FerlabError(
                f"there is no model {name!r}{did_you_mean(name, known)}; "
                f"the models are {', '.join(known)}"
            )
    return names


def _named(name: str) -> NetworkSpec:
    """Return the checked spec of `conf/model/<name>.yaml`."""
    config = hydra.compose(config_name="describe", overrides=[f"model={name}"])
    return parse_model(plain(config.model))
