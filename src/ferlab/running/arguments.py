"""The command line, before Hydra reads it: what it would refuse or take otherwise than is meant."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from ferlab.checks import FerlabError
from ferlab.instantiate import conf_folder
from ferlab.learning.processes import is_distributed, processes_and_nodes

SWEEP_FLAGS = ("-m", "--multirun")
"""What asks Hydra for a sweep."""

_FLAGS = ("--config-dir", "--config-name", "--config-path", "--experimental-rerun", "--multirun")
"""Those of Hydra's that matter here, each of which it would take shortened, too."""

_PLACES = ("data.root", "data.cache", "resume", "run", "hydra.run.dir", "hydra.sweep.dir")
"""What names a file or folder, which may have signs that Hydra's grammar does not know."""


def start_of_command(stage: str) -> list[str]:
    """Return how this process was started, up to the arguments of the stage."""
    program = sys.argv[0]
    is_script = Path(program).name == "train.py"
    if is_distributed():
        per_node, n_nodes = processes_and_nodes()
        nodes = [f"--nnodes={n_nodes}"] if n_nodes > 1 else []
        started = [program] if is_script else ["-m", "ferlab", stage]
        return ["torchrun", *nodes, f"--nproc-per-node={per_node}", *started]
    return ["python", program] if is_script else ["ferlab", stage]


def is_sweep(arguments: Sequence[str]) -> bool:
    """Return whether these arguments of a command line ask for a sweep."""
    return any(argument in SWEEP_FLAGS for argument in arguments)


def with_quoted_places(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with quotes around each file or folder that Hydra could not read else.

    Such is one with an umlaut, a parenthesis or `~`. The latter begins the home folder: no shell
    puts that in after a dotted key.
    """
    return [_quoted(one) if one.partition("=")[0] in _PLACES else one for one in arguments]


def _quoted(argument: str) -> str:
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        key, _, place = argument.partition("=")
        escaped = os.path.expanduser(place).replace('"', '\\"')
        return f'{key}="{escaped}"'
    return argument


def check_arguments(arguments: Sequence[str], sweeps: bool = True) -> None:
    """Raise FerlabError for what Hydra would take and nobody can mean.

    `model=[A,B]` it would merge silently, of `model=null` make nothing, of `augment.extra={}` no
    change, and `--experimental-rerun` reads a pickle, which can run anything.

    Args:
        arguments: as on the command line.
        sweeps: whether `-m` makes sense.
    """
    for argument in arguments:
        flag = argument.partition("=")[0]
        if len(flag) > 2 and flag.startswith("--") and flag not in _FLAGS:
            for whole in _FLAGS:
                if whole.startswith(flag):
                    raise FerlabError(f"write {flag} in full: {whole}")
        if flag == "--experimental-rerun":
            raise FerlabError("--experimental-rerun reads a pickle; type the command again instead")
        if flag == "hydra.mode":
            raise FerlabError("leave out hydra.mode; -m asks for a sweep")
        group, _, choice = argument.partition("=")
        if choice.replace(" ", "") == "{}" and not group.startswith("+"):
            raise FerlabError(
                f"{argument} would change nothing; set what it holds, key by key, or {group}=null"
            )
        if not group or not (conf_folder() / group).is_dir():
            continue
        if choice.startswith("["):
            remedy = f", or sweep with -m {group}={choice.strip('[]')}" if sweeps else ""
            raise FerlabError(f"{argument} would merge them into one; name one{remedy}")
        if group in ("experiment", "debug") and "null" in choice.split(","):
            raise FerlabError(f"{group} cannot be null on a command line; leave null out")
        if choice in ("null", ""):
            known = ", ".join(sorted(path.stem for path in (conf_folder() / group).glob("*.yaml")))
            raise FerlabError(f"{group} cannot be empty; {group} is one of {known}")


def without_config_dir(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with Hydra's `--config-dir` as the override that does the same.

    Raises:
        FerlabError: there is no such folder.
    """
    composed = []
    rest = iter(arguments)
    for argument in rest:
        flag, _, name = argument.partition("=")
        if flag in ("--config-dir", "-cd"):
            folder = name or next(rest, "")
            if not folder or not Path(folder).is_dir():
                raise FerlabError(f"{flag}: there is no folder {folder!r}")
            quoted = str(Path(folder).resolve()).replace("\\", "\\\\").replace("'", "\\'")
            argument = f"hydra.searchpath=['file://{quoted}']"
        composed.append(argument)
    return composed


def with_place(arguments: Sequence[str], place: str) -> list[str]:
    """Return the arguments with `hydra.run.dir` at this place, beside the other overrides.

    Hydra takes no overrides on both sides of a flag.
    """
    others = [one for one in arguments if not one.startswith("hydra.run.dir=")]
    is_override = ["=" in one and not one.startswith("-") for one in others]
    first = is_override.index(True) if any(is_override) else len(others)
    return [*others[:first], f"hydra.run.dir={place}", *others[first:]]
