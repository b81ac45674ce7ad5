"""How a stage starts and ends: configuration, console, run folder, and mistakes in one line."""

import contextlib
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from ferlab.checks import FerlabError, Interrupted
from ferlab.instantiate import conf_folder
from ferlab.runs import RunFolder


def run_stage(
    name: str, task: Callable[[DictConfig, RunFolder], Any], overrides: Sequence[str]
) -> int:
    """Compose `conf/<name>.yaml` with the overrides, run the task, and return the exit status.

    Args:
        name: the stage's.
        task: receives the configuration and the folder that Hydra made for it.
        overrides: as on the command line, Hydra's own flags among them.
    """
    _show_log_on_console()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and the wording is ours

    mistakes: list[str] = []

    def job(config: DictConfig) -> Any:
        with RunFolder(Path(HydraConfig.get().runtime.output_dir), name) as folder:
            try:
                return task(config, folder)
            except Interrupted as stop:
                raise Interrupted(f"{stop}; go on with: {_command(name, folder)}") from None
            except (FerlabError, OmegaConfBaseException, OSError) as error:
                # Kept for the end: in a sweep the other jobs go on.
                hydra_config = HydraConfig.get()
                in_sweep = hydra_config.mode is RunMode.MULTIRUN
                of_job = f"[{hydra_config.job.override_dirname}] " if in_sweep else ""
                mistakes.append(of_job + _worded(error))
                return None

    command = sys.argv
    sys.argv = [command[0], *overrides]
    try:
        _check_groups(overrides)
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=name)(job)()
    except (FerlabError, HydraException, OmegaConfBaseException, OSError) as error:
        return _fail(_worded(error))
    except Interrupted as stop:
        return _fail(str(stop), status=130)
    except (KeyboardInterrupt, SystemExit) as end:
        # Lightning turns the former into the latter.
        if isinstance(end, SystemExit) and not isinstance(end.__context__, KeyboardInterrupt):
            raise
        return _fail("interrupted; the same command into the same folder goes on", status=130)
    finally:
        sys.argv = command
    for mistake in mistakes:
        _fail(mistake)
    return 1 if mistakes else 0


def _command(name: str, folder: RunFolder) -> str:
    """Return the command that goes on with the run in `folder`."""
    program = sys.argv[0]
    start = ["python", program] if program.endswith(".py") else ["ferlab", name]
    overrides = HydraConfig.get().overrides.task
    return shlex.join([*start, *overrides, f"hydra.run.dir={os.path.relpath(folder.path)}"])


def _check_groups(overrides: Sequence[str]) -> None:
    """Raise FerlabError for `model=[A,B]`, which Hydra would merge silently, and `model=null`."""
    for override in overrides:
        group, _, choice = override.partition("=")
        if not (conf_folder() / group).is_dir():
            continue
        if choice.startswith("["):
            raise FerlabError(
                f"{override} would merge them into one; "
                f"name one, or sweep with -m {group}={choice.strip('[]')}"
            )
        if choice in ("null", "") and group not in ("experiment", "debug"):
            known = ", ".join(sorted(path.stem for path in (conf_folder() / group).glob("*.yaml")))
            raise FerlabError(f"{group} cannot be empty; {group} is one of {known}")


def _fail(message: str, status: int = 1) -> int:
    print(f"ferlab: {message}", file=sys.stderr)
    return status


def _worded(error: Exception) -> str:
    """Return what is wrong and what to do, in one line."""
    if isinstance(error, FerlabError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, wanted = str(error.missing_cfg_file).rpartition("/")
        known = ", ".join(error.options)
        return f"there is no {group}={wanted}; {group} is one of {known}"
    if isinstance(error, OSError):
        what = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        return f"{what}; what was finished before is kept"
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:2])


class _Console(logging.Handler):
    """Writes messages to standard output, above a progress bar where one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        # A reader that has gone away, or cannot show a character, must not end a training.
        with contextlib.suppress(OSError, ValueError):
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()


def _show_log_on_console() -> None:
    console = _Console()
    console.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("ferlab")
    logger.handlers = [console]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # Lightning announces devices that are not used and restored checkpoints; ours say the rest.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*even kernel lengths.*")  # fernet's are 4×4
    warnings.filterwarnings("ignore", message="Experiment logs directory")  # of logger=csv
