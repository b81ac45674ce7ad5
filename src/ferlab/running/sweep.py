"""The jobs of a sweep: known before the first one starts, told with what became of each."""

import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from ferlab.checks import FerlabError
from ferlab.files import write_text
from ferlab.history import read_history, total_seconds
from ferlab.instantiate import conf_folder, plain
from ferlab.keys import digest, flatten, settles_result
from ferlab.reporting.jobs import FINISHED, JobRow, describe_jobs, jobs_to_csv
from ferlab.running.arguments import SWEEP_FLAGS, without_config_dir
from ferlab.running.known import check_known
from ferlab.running.named import judged_networks, named_runs
from ferlab.runs import RunFolder
from ferlab.settings import optimizer_name

OmegaConf.register_new_resolver("ferlab.folder", lambda text: folder_name(text), replace=True)


class Job(NamedTuple):
    """One combination of the swept values.

    Attributes:
        name: the values that are its own, as on the command line: `model=A seed=1`.
        name_without_seed: the same for jobs that differ in nothing but the seed.
        folder: where it runs.
        config: its configuration, resolved.
    """

    name: str
    name_without_seed: str
    folder: RunFolder
    config: dict[str, Any]


class Sweep(NamedTuple):
    """What one command with `-m` runs.

    Attributes:
        folder: holds a folder for each job. Where the command does not name it, its name follows
            from the configurations of all jobs: the same command finds it again, and where a YAML
            file was edited meanwhile it is another one.
        jobs: in the order in which they run.
        arguments: what makes Hydra run them there.
    """

    folder: Path
    jobs: list[Job]
    arguments: list[str]


CheckFinished = Callable[[Mapping[str, Any], RunFolder], None]
"""Raises FerlabError where a finished folder is not what its configuration means today."""

REMEDY = "choose another hydra.sweep.dir"
"""What to do where a job's folder belongs to another configuration."""


def plan(
    stage: str, arguments: Sequence[str], check_finished: CheckFinished | None = None
) -> Sweep:
    """Compose every job of a sweep.

    What is swept stands on the command line, or in the configuration as `hydra.sweeper.params`,
    of which the command line may override each.

    Args:
        stage: names the primary configuration.
        arguments: as on the command line.
        check_finished: of the stage, beside what holds for all of them.

    Raises:
        FerlabError: it is not a product of lists of values, or a folder is not there.
        HydraException, OmegaConfBaseException: a job's configuration cannot be composed.
    """
    arguments = without_config_dir(arguments)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        given = [argument for argument in arguments if not argument.startswith("-")]
        overrides = {one.get_key_element(): one for one in parser.parse_overrides(given)}
        configured = _configured(stage, overrides)
        named = {key.lstrip("+") for key in overrides}
        added = [f"{key}={text}" for key, text in configured.items() if key not in named]
        overrides |= {one.get_key_element(): one for one in parser.parse_overrides(added)}
        swept = [key for key, override in overrides.items() if override.is_sweep_override()]
        fixed = [one.key_or_group for key, one in overrides.items() if key not in swept]
        own = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"]
        combinations = [
            dict(zip(overrides, values, strict=True))
            for values in itertools.product(*map(_values, overrides.values()))
        ]
        configs = [
            compose(stage, overrides=[*chosen.values(), *own], return_hydra_config=True)
            for chosen in combinations
        ]
        for config in configs:
            check_known(stage, _own(config))
    hydra = configs[0].hydra
    if not hydra.sweeper._target_.endswith(".BasicSweeper"):
        raise FerlabError("hydra.sweeper must be the basic one; for a search use `ferlab tune`")
    if any(dict(config.hydra.sweeper.params or {}) != configured for config in configs):
        raise FerlabError(
            "these jobs sweep different hydra.sweeper.params; start each by itself, "
            "or name the values themselves, as seed=0,1"
        )
    written = [_unresolved(config) for config in configs]
    _check_all_differ(written)
    folder = Path(hydra.sweep.dir)
    if "hydra.sweep.dir" not in overrides:
        folder /= folder_name(
            "_".join([*map(_last_word, swept), digest(*written, *map(_judged, configs))])
        )
        own.append(f"hydra.sweep.dir={folder}")
    jobs = [
        Job(
            name=" ".join(chosen[key] for key in swept),
            name_without_seed=" ".join(chosen[key] for key in swept if key != "seed"),
            folder=RunFolder(folder / config.hydra.sweep.subdir, remedy=REMEDY),
            config=plain(_own(config)),
        )
        for chosen, config in zip(combinations, configs, strict=True)
    ]
    for job, config in zip(jobs, configs, strict=True):
        if job.folder.metrics.exists():
            _check_told(job, config, check_finished)
    # Hydra takes no overrides on both sides of a flag; a person may put it anywhere.
    others = [argument for argument in arguments if argument not in SWEEP_FLAGS]
    own.append("hydra.sweeper.params=null")  # or Hydra would sweep them once more
    return Sweep(folder, jobs, [SWEEP_FLAGS[0], *others, *added, *own])


def _configured(stage: str, overrides: Mapping[str, Override]) -> dict[str, str]:
    """Return the values that the configuration sweeps by itself, by key."""
    first = [_values(override)[0] for override in overrides.values()]
    return dict(
        compose(stage, overrides=first, return_hydra_config=True).hydra.sweeper.params or {}
    )


def conclude(sweep: Sweep) -> tuple[str, bool]:
    """Write what became of the jobs into `jobs.csv`; return it as a table, and if all finished."""
    rows = [_row(job) for job in sweep.jobs]
    write_text(sweep.folder / "jobs.csv", jobs_to_csv(rows))
    return describe_jobs(rows), all(row.status == FINISHED for row in rows)


def own_values(config: DictConfig) -> dict[str, Any]:
    """Return what tells this run from others, by name: its model, its optimizer, what it sets.

    That is what its command line sets, in a sweep only what is swept.
    """
    hydra = HydraConfig.get()
    fixed = hydra.job.config.override_dirname.exclude_keys
    given = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    own = [one.key_or_group for one in given if one.key_or_group not in fixed]
    groups = {key: hydra.runtime.choices[key] for key in own if key in hydra.runtime.choices}
    values = {
        name: value
        for name, value in flatten(plain(config)).items()
        if settles_result(name)
        and any(f"{name}.".startswith(f"{key}.") for key in own if key not in groups)
    }
    return {
        "model": config.model.name,
        "optimizer": optimizer_name(plain(config)),
        **groups,
        **values,
    }


def _values(override: Override) -> list[str]:
    """Return the override once per value."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise FerlabError(
            f"{override.input_line} is not a list of values; for a search there is `ferlab tune`"
        )
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def folder_name(text: str) -> str:
    """Return the text as a folder's name that can be typed back as a value: letters, digits, `._-`.

    What had to be replaced or cut off is told apart by eight digits of its digest.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:100]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _last_word(key: str) -> str:
    """Return what a person calls a key: `lr` for `optimizer.lr`."""
    return re.split(r"[./@]", key)[-1].strip("+~")


def _unresolved(config: DictConfig) -> dict[str, Any]:
    """Return a job's configuration without Hydra's own."""
    values = OmegaConf.to_container(_own(config), resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _own(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _judged(config: DictConfig) -> dict[str, str]:
    """Return which networks and data a job judges; empty where it trains one."""
    return judged_networks(config, named_runs(config)) if "run" in config else {}


def _check_told(job: Job, config: DictConfig, check_finished: CheckFinished | None) -> None:
    """Raise FerlabError where the finished job tells of other networks or data."""
    try:
        job.folder.check_configuration(job.config)
    except FerlabError:
        return  # the job says so itself
    from ferlab.running.recorded import check_same_data  # imports Lightning, which takes seconds

    runs = named_runs(config) if "run" in config else []
    if runs:
        job.folder.check_fixed(judged_networks(config, runs))
    check_same_data(config, job.folder, runs)
    if check_finished is not None:
        check_finished(job.config, job.folder)


def _check_all_differ(configs: Sequence[Mapping[str, Any]]) -> None:
    """Raise FerlabError where two jobs are one, as where an experiment sets what is swept."""
    numbers: dict[str, int] = {}
    for number, config in enumerate(configs, start=1):
        first = numbers.setdefault(repr(sorted(flatten(config).items())), number)
        if first != number:
            raise FerlabError(
                f"jobs {first} and {number} are the same: a value is there twice, or the "
                "experiment sets what is swept; leave one of them out"
            )


def _row(job: Job) -> JobRow:
    """Return what the job's folder tells of it."""
    folder, metrics, status, reason = job.folder, None, "not finished", ""
    try:
        folder.check_configuration(job.config)
        metrics = folder.recorded_metrics()
    except FerlabError as error:
        status, reason = "failed", str(error)
    if metrics is not None:
        status = FINISHED
    elif folder.busy():
        status, reason = "running", "in another process"
    elif folder.failure.exists():
        status, reason = "failed", folder.failure.read_text(encoding="utf-8").strip()
    seconds = total_seconds(read_history(folder.history))
    return JobRow(job.name, job.name_without_seed, status, metrics or {}, seconds, reason)
