"""How a stage starts and ends: configuration, run folder, and mistakes in one line."""

import contextlib
import gc
import logging
import multiprocessing as mp
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ferlab.checks import FerlabError, Interrupted, printable
from ferlab.environment import loaded_commit
from ferlab.files import write_text
from ferlab.instantiate import conf_folder
from ferlab.learning.memory import is_out_of_memory
from ferlab.learning.processes import from_first, is_distributed
from ferlab.running.arguments import (
    check_arguments,
    is_sweep,
    start_of_command,
    with_place,
    with_quoted_places,
)
from ferlab.running.console import show_log_on_console
from ferlab.running.known import check_known, unknown_key
from ferlab.running.sweep import REMEDY, CheckFinished, conclude, plan
from ferlab.runs import RunFolder

MISTAKES = (FerlabError, HydraException, OmegaConfBaseException, OSError)
"""What is told in one line, without a traceback."""

Task = Callable[[DictConfig, RunFolder], Any]
"""What a stage does with its configuration, in the folder that Hydra made for it."""

_SEVERAL_VALUES = re.compile(r"Ambiguous value for argument '(.*)'")
"""How Hydra begins where a sweep lacks its `-m`."""

_UNKNOWN_KEY = re.compile(r"Could not override '([^']*)'")
"""How it begins where there is no such key."""

log = logging.getLogger(__name__)


def run_stage(
    name: str,
    task: Task,
    arguments: Sequence[str],
    sweeps: bool = True,
    check_finished: CheckFinished | None = None,
) -> int:
    """Compose `conf/<name>.yaml` with the overrides, run the task, and return the exit status.

    With `-m` among the arguments the task is run once per combination of the swept values,
    whatever becomes of the others, and the end tells what became of each.

    Args:
        name: the stage's.
        task: what it does.
        arguments: overrides as on the command line, Hydra's own flags among them.
        sweeps: whether `-m` makes sense.
        check_finished: makes sure that a finished job of a sweep is what its configuration means.
    """
    show_log_on_console()
    loaded_commit()  # of the code that runs from here on
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and the wording is ours
    command = sys.argv
    typed, arguments = arguments, with_quoted_places(arguments)
    try:
        check_arguments(arguments, sweeps)
        if name != "train" and is_distributed():
            raise FerlabError(f"{name} cannot run under torchrun; start it by itself")
        if not is_sweep(arguments):
            return _run_once(name, task, typed, arguments, sweeps)
        if is_distributed():
            raise FerlabError("a sweep cannot run under torchrun; start each job by itself")
        if not sweeps:
            raise FerlabError(f"{name} cannot be swept with -m; start it once per value")
        return _run_sweep(name, task, typed, arguments, check_finished)
    except MISTAKES as error:
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


def _run_once(
    name: str, task: Task, typed: Sequence[str], arguments: Sequence[str], sweeps: bool
) -> int:
    raised: list[Exception] = []
    job = partial(_run_task, name, task, start_of_command(name), typed, sweeps, raised)
    with _composing(name, sweeps):
        _run_hydra(name, job, arguments)
    if raised:
        raise raised[0]
    return 0


def _run_sweep(
    name: str,
    task: Task,
    typed: Sequence[str],
    arguments: Sequence[str],
    check_finished: CheckFinished | None,
) -> int:
    if any(argument.startswith("resume=") for argument in arguments):
        raise FerlabError("resume= goes on with one run; start it once per run, without -m")
    with _composing(name, sweeps=True):
        sweep = plan(name, arguments, check_finished)
    check_arguments(sweep.arguments)  # with what the configuration sweeps
    again = shlex.join([*start_of_command(name), *typed])
    jobs = [(job.name, job.config) for job in sweep.jobs]
    _run_hydra(name, partial(_run_job, name, task, again, jobs), sweep.arguments)
    table, all_finished = conclude(sweep)
    print(f"\n{table}\n\nfolder: {os.path.relpath(sweep.folder)}")
    return 0 if all_finished else 1


@contextlib.contextmanager
def _composing(stage: str, sweeps: bool) -> Iterator[None]:
    """Put into words what Hydra makes of an override that it cannot apply."""
    try:
        yield
    except ConfigCompositionException as error:
        if unknown := _UNKNOWN_KEY.match(str(error)):
            raise FerlabError(unknown_key(stage, unknown[1])) from error
        if several := _SEVERAL_VALUES.match(str(error)):
            once = "add -m to run once with each" if sweeps else f"start {stage} once with each"
            raise FerlabError(
                f"{several[1]} has several values; {once}, or write a list as key=[…]"
            ) from error
        raise
    except MISTAKES:
        raise
    except Exception as error:
        raise FerlabError(f"the configuration cannot be composed: {error}") from error


def _run_hydra(name: str, job: Callable[[DictConfig], Any], arguments: Sequence[str]) -> None:
    sys.argv = [sys.argv[0], *arguments]
    hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=name)(job)()


def _run_task(
    name: str,
    task: Task,
    start: Sequence[str],
    typed: Sequence[str],
    sweeps: bool,
    raised: list[Exception],
    config: DictConfig,
) -> Any:
    """Run the task in Hydra's folder; under torchrun in that of its first process.

    A mistake is kept for the end: of one that is raised Hydra would print more than a line.
    """
    made = Path(HydraConfig.get().runtime.output_dir)
    path = Path(from_first("folder", lambda: str(made)))
    if path != made:
        with contextlib.suppress(OSError):
            made.rmdir()
    with RunFolder(path, name) as folder:
        try:
            _check_no_sweep(sweeps)
            check_known(name, config)
            return task(config, folder)
        except Exception as error:
            raised.append(explained(error))
            return None
        except Interrupted as stop:
            arguments = stop.again or with_place(typed, os.path.relpath(folder.path))
            raise Interrupted(f"{stop}; go on with: {shlex.join([*start, *arguments])}") from None


def _run_job(
    name: str,
    task: Task,
    again: str,
    jobs: Sequence[tuple[str, dict[str, Any]]],
    _: DictConfig,
) -> None:
    """Run the task in Hydra's folder; leave there, in one line, why it failed where it did.

    With the configuration that was planned: Hydra composes each job anew, from files that may have
    been edited since.
    """
    number = HydraConfig.get().job.num
    job, values = jobs[number]
    in_parallel = mp.parent_process() is not None
    show_log_on_console(f"[{job}] " if in_parallel else "")
    log.info("\njob %d of %d: %s", number + 1, len(jobs), job)
    try:
        with RunFolder(Path(HydraConfig.get().runtime.output_dir), name, REMEDY) as folder:
            try:
                task(OmegaConf.create(values), folder)
            except Exception as raised:
                error = explained(raised)
                log.info("failed: %s", _worded(error), exc_info=not isinstance(error, MISTAKES))
                with contextlib.suppress(OSError):
                    if not folder.metrics.exists() and not folder.busy():
                        write_text(folder.failure, f"{_worded(error)}\n")
                del error  # its frames hold tensors
    except Interrupted as stop:
        raise Interrupted(f"{stop}; go on with: {again}") from None
    finally:
        # A job's tensors must not live on in cycles while the next one needs their room.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _check_no_sweep(sweeps: bool) -> None:
    """Raise FerlabError where the configuration sweeps what the command line does not fix."""
    hydra = HydraConfig.get()
    fixed = {text.partition("=")[0].lstrip("+") for text in hydra.overrides.task}
    if swept := [key for key in hydra.sweeper.params or () if key not in fixed]:
        remedy = "add -m, or name one value of each" if sweeps else "name one value of each"
        raise FerlabError(f"this configuration sweeps {', '.join(swept)}; {remedy}")


def _fail(message: str, status: int = 1) -> int:
    print(f"ferlab: {message}", file=sys.stderr)
    return status


def explained(error: Exception) -> Exception:
    """Return the error; of one that the machine is to blame for, what a person can do about it."""
    if is_out_of_memory(error):
        return FerlabError(
            "there is not enough memory; "
            "try a smaller data.batch_size, data.eval_batch_size or model"
        )
    if "no kernel image is available" in str(error):
        return FerlabError(
            "this build of torch has no kernels for this CUDA device; use "
            "trainer.accelerator=cpu, or install a build that has"
        )
    return error


def _worded(error: Exception) -> str:
    """Return what is wrong and, of a person's mistake, what to do, in one line.

    Names come from files, and may hold lines of their own or a terminal's commands.
    """
    worded = printable(_words(error))
    return worded if len(worded) <= 800 else f"{worded[:800]} …"


def _words(error: Exception) -> str:
    if isinstance(error, FerlabError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, wanted = str(error.missing_cfg_file).rpartition("/")
        known = ", ".join(error.options)
        return f"there is no {group}={wanted}; {group} is one of {known}"
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read; put what has other signs than letters, digits and "
            "/._- in quotes of its own, as in 'data.root=\"…\"'"
        )
    if isinstance(error, OSError):
        what = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        return f"{what}; what was finished before is kept"
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    worded = "; ".join(lines[:2])
    return worded if isinstance(error, MISTAKES) else f"{type(error).__name__}: {worded}"
