"""Finds runs, finished or begun: by folder, by the name of their model, or the latest."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from ferlab.checks import FerlabError, did_you_mean
from ferlab.files import read_yaml
from ferlab.networks.files import DESCRIPTION
from ferlab.reporting.jobs import FINISHED
from ferlab.runs import RunFolder


def find_run(name: str, searched: Iterable[str | Path] = ("outputs",)) -> RunFolder:
    """Return the run that a person means.

    Args:
        name: a folder, also one that holds nothing but a model; `latest`, the run that was
            finished last; or a model's name, its run that was finished last.
        searched: folders in which runs are looked for, at any depth.

    Raises:
        FerlabError: there is no such run, or it has no model yet.
    """
    folder = Path(name)
    if folder.is_dir():
        run = RunFolder(folder)
        if not (model_folder(run) / DESCRIPTION).is_file():
            state = "not finished" if run.config.exists() else "not a run: it holds no model"
            raise FerlabError(f"run={name} is {state}; finish it, or name another")
        return run
    finished = sorted(finished_runs(searched), key=lambda run: run.metrics.stat().st_mtime_ns)
    models = {model_name(run): run for run in finished}  # the last of each name stays
    if name == "latest" and finished:
        return finished[-1]
    if name in models:
        return models[name]
    places = ", ".join(map(str, searched))
    known = ", ".join(sorted(models)) or "none"
    hint = did_you_mean(name, models)
    raise FerlabError(
        f"there is no run={name} in {places}{hint}; name a folder, `latest`, or a model that has "
        f"a finished run there ({known})"
    )


def find_runs(name: str, searched: Iterable[str | Path] = ("outputs",)) -> list[RunFolder]:
    """Return the runs that a person means: of a sweep's folder all, else the one of `find_run`.

    Raises:
        FerlabError: as of `find_run`, or not all jobs of the sweep are finished.
    """
    sweep = Path(name)
    if not (sweep / "multirun.yaml").is_file():
        return [find_run(name, searched)]
    table = sweep / "jobs.csv"  # is written when the sweep has ended
    text = table.read_text(encoding="utf-8", errors="replace") if table.is_file() else ""
    try:
        ended = [job.get("status") == FINISHED for job in csv.DictReader(text.splitlines())]
    except csv.Error:
        ended = []
    runs = list(finished_runs([sweep]))
    if not ended or not all(ended) or len(runs) < len(ended):
        raise FerlabError(
            f"run={name} is a sweep of which not all jobs are finished trainings; "
            "type its command again, or name some of its jobs"
        )
    return runs


def find_begun(name: str, searched: Iterable[str | Path] = ("outputs",)) -> RunFolder:
    """Return the training that was begun, not finished, and that a person means.

    Args:
        name: a folder; or `latest`, of those that no process is writing the one written last.
        searched: folders in which trainings are looked for, at any depth.

    Raises:
        FerlabError: there is no such training, or it is finished.
    """
    if name == "latest":
        begun = [
            run
            for place in searched
            for log in Path(place).rglob("train.log")
            if not (run := RunFolder(log.parent)).metrics.exists() and run.config.exists()
            if not run.busy()
        ]
        if not begun:
            raise FerlabError(f"no training in {', '.join(map(str, searched))} waits to go on")
        return max(begun, key=lambda run: run.log.stat().st_mtime_ns)
    run = RunFolder(Path(name))
    if not run.config.exists():
        raise FerlabError(f"resume={name} is not a training; name its folder, or latest")
    if run.metrics.exists():
        raise FerlabError(f"resume={name} is finished; start another one, or judge it anew")
    return run


def finished_runs(searched: Iterable[str | Path]) -> Iterator[RunFolder]:
    """Yield the finished trainings below these folders."""
    for place in searched:
        for metrics in sorted(Path(place).rglob("metrics.json")):
            run = RunFolder(metrics.parent)
            if (run.model / DESCRIPTION).is_file():
                yield run


def model_folder(run: RunFolder) -> Path:
    """Return where the run's model lies: in `model/`, or, of shipped weights, in the folder."""
    return run.model if (run.model / DESCRIPTION).is_file() else run.path


def model_name(run: RunFolder) -> str:
    """Return the name in the run's `model.yaml`; an empty one where it cannot be read."""
    try:
        return str(read_yaml(model_folder(run) / DESCRIPTION)["name"])
    except (OSError, FerlabError, KeyError):
        return ""
