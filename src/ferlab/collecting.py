"""Collects what runs, evaluations and fitted classifiers came to, out of their folders."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ferlab.checks import FerlabError
from ferlab.finding import model_folder
from ferlab.history import read_history, total_seconds
from ferlab.networks.files import DESCRIPTION, WEIGHTS, read_description
from ferlab.networks.specs import NetworkSpec
from ferlab.networks.summary import summarise
from ferlab.reporting.entries import SPLITS, Entry, Score
from ferlab.reporting.namesakes import with_details, with_marks
from ferlab.reporting.predictions import read_predictions
from ferlab.runs import RunFolder
from ferlab.settings import all_settings, own_columns

LeftOut = dict[str, str]
"""By folder, why it is not compared."""

_LOGS = ("train.log", "evaluate.log", "fit.log")
"""Of the stages whose folders are compared; RunFolder names each log after its stage."""

_OTHER_LOGS = ("extract_and_fit.log", "explore.log", "tune.log", "compare.log")
"""Of the stages whose folders hold no result of their own."""

_MARKS = {"config.yaml", "environment.json", "metrics.json", "failure.txt", *_LOGS}

_INSIDE = {"checkpoints", "model", "report", "features"}
"""Folders of a run that hold no run."""


def collect(searched: Iterable[str]) -> tuple[list[Entry], LeftOut]:
    """Return what lies at any depth below these folders, or in them.

    A folder that cannot be compared is left out with the reason; it hinders no other.

    Raises:
        FerlabError: one of `searched` is no folder.
    """
    entries: list[Entry] = []
    left_out: LeftOut = {}
    for folder in _folders(searched):
        name = os.path.relpath(folder)
        try:
            entries.append(_read(folder, name))
        except FerlabError as error:
            reason = str(error).replace(f"{folder}{os.sep}", "")
            left_out[name] = " ".join(reason.split())
        except OSError as error:  # a folder may vanish or be closed to us
            left_out[name] = f"{error.strerror or error}: {error.filename or folder}"
    return with_details(with_marks(entries)), left_out


def _folders(searched: Iterable[str]) -> Iterator[Path]:
    """Yield each folder that holds something of a run, once."""
    seen = set()
    for place in searched:
        if not Path(place).is_dir():
            raise FerlabError(f"there is no folder {place}; name folders with runs=[...]")
        for folder, inner, files in os.walk(place):
            is_run = not _MARKS.isdisjoint(files)
            inner[:] = sorted(name for name in inner if not (is_run and name in _INSIDE))
            real = os.path.realpath(folder)
            if not is_run or real in seen:
                continue
            seen.add(real)
            if not set(_OTHER_LOGS).isdisjoint(files):
                continue
            yield Path(folder)


def _read(folder: Path, name: str) -> Entry:
    """Return the folder's entry, its details still empty.

    Raises:
        FerlabError: why there is none.
    """
    run = RunFolder(folder)
    if run.busy():
        raise FerlabError("is being written at this moment")
    metrics = run.recorded_metrics()
    if metrics is None and run.failure.is_file():
        raise FerlabError(f"failed: {run.failure.read_text(encoding='utf-8', errors='replace')}")
    if metrics is None:
        raise FerlabError("not finished: it has no metrics.json")
    log = next((log for log in _LOGS if (folder / log).is_file()), None)
    if log is None:
        raise FerlabError(f"of an unknown kind: it has none of {', '.join(_LOGS)}")
    scores = _scores(metrics, run.predictions)
    config = run.recorded_config()
    environment = run.recorded_environment()
    common = {
        "scores": scores,
        "folder": name,
        "path": folder,
        "commit": str(environment.get("commit") or ""),
        "digest": str(environment.get("data") or ""),
    }
    try:
        if log == "train.log":
            made_on = [environment.get(key) for key in ("accelerator", "precision")]
            if (processes := environment.get("processes", "1")) != "1":
                made_on.append(f"{processes} processes")
            common["computed"] = ", ".join(str(one) for one in made_on if one)
            common["teachers"] = str(environment.get("teachers") or "")
            return _run(run, config, metrics, common)
        if log == "evaluate.log":
            return _evaluation(config, environment, common)
        return _classifier(folder, environment, common)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise FerlabError(
            f"config.yaml is not one that this version of ferlab knows ({error!r})"
        ) from error


def _scores(metrics: Mapping[str, float], predictions: Path) -> dict[str, Score]:
    """Return what `metrics.json` says of each split.

    Raises:
        FerlabError: it says nothing of the validation or test images, or what cannot be.
    """
    scores = {}
    counted: Mapping[str, int] | None = None
    for split in SPLITS:
        key = split if split in ("train", "val", "test") else f"test/{split}"
        if (accuracy := metrics.get(f"{key}/accuracy")) is None:
            continue
        images = metrics.get(f"{key}/images")
        if images is None and split != "train":  # of an early version
            if counted is None:
                counted = _images_in(predictions)
            images = counted.get(key)
        macro_f1 = metrics.get(f"{key}/macro_f1")
        loss = None if split == "train" else metrics.get(f"{key}/loss")  # there, the objective
        if (
            not 0 <= accuracy <= 1
            or not (images is None or 1 <= images < 1e9)
            or not (macro_f1 is None or 0 <= macro_f1 <= 1)
            or not (loss is None or 0 <= loss < math.inf)
        ):
            raise FerlabError(f"metrics.json says of {key} what cannot be")
        scores[split] = Score(accuracy, _whole(images), macro_f1, loss)
    if not scores.keys() & {"val", "test"}:
        raise FerlabError("metrics.json has no accuracy that this version of ferlab knows")
    return scores


def _images_in(predictions: Path) -> dict[str, int]:
    """Return the images per split and part in a `predictions.npz`; none where it is damaged."""
    try:
        judged = read_predictions(predictions)
    except FerlabError:
        return {}
    return {split: len(labels) for split, (_, labels, _) in judged.items()}


def _run(
    run: RunFolder, config: Mapping[str, Any], metrics: Mapping[str, float], common: dict[str, Any]
) -> Entry:
    for file in (run.model / DESCRIPTION, run.model / WEIGHTS):
        if not file.is_file():
            raise FerlabError(f"it has no model: {file.relative_to(run.path)} is missing")
    parameters, macs = _costs(run.model / DESCRIPTION)
    history = read_history(run.history)
    in_sweep = (run.path.absolute().parent / "multirun.yaml").is_file()
    return Entry(
        kind="sweep job" if in_sweep else "run",
        **own_columns(config),
        settings=all_settings(config),
        parameters=parameters,
        macs=macs,
        epochs=_whole(metrics.get("epochs")),
        best_epoch=_whole(metrics.get("best_epoch")),
        seconds=total_seconds(history),
        history=history,
        **_alike(config, common),
    )


def _evaluation(
    config: Mapping[str, Any], environment: Mapping[str, Any], common: dict[str, Any]
) -> Entry:
    folder = common["path"]
    members = [_found(name, folder) for name in str(environment["runs"]).split(", ")]
    runs = [RunFolder(member).known_config() for member in members]
    known = [own_columns(run) for run in runs if run is not None]
    there = [member for member in members if _description(member).is_file()]
    names = [_model_name(member) if member in there else member.name for member in members]
    digests = {RunFolder(member).recorded_environment().get("data") for member in members}
    all_known = len(known) == len(runs)
    same_data = all_known and digests == {environment.get("data")}
    costs = [_costs(_description(member)) for member in there]
    view = config["augment"]["test_time"]
    described = ", ".join("/".join(member.parts[-2:]) for member in members)
    return Entry(
        kind="evaluation",
        model=", ".join(names),
        optimizer=_joined(one["optimizer"] for one in known) if all_known else "",
        augmentation=_joined(one["augmentation"] for one in known) if all_known else "",
        seed=known[0]["seed"] if all_known and len(runs) == 1 else None,
        data=_title(environment, known[0] if same_data else None),
        details=f"of {described}" + (f", {view}" if view else ""),
        parameters=sum(parameters for parameters, _ in costs) if there == members else None,
        macs=sum(macs for _, macs in costs) if there == members else None,
        judged=tuple(members),
        **common,
    )


def _classifier(folder: Path, environment: Mapping[str, Any], common: dict[str, Any]) -> Entry:
    member = Path(os.path.normpath(folder / "../.."))  # <run>/classical/<classifier>
    recorded = RunFolder(member).known_config()
    named = own_columns(recorded) if recorded is not None else {}
    trained_on = RunFolder(member).recorded_environment().get("data")
    same_data = named and trained_on in (None, environment.get("data"))
    return Entry(
        kind="classifier",
        model=f"{_model_name(member)} + {folder.name}",
        optimizer=named.get("optimizer", ""),
        augmentation=named.get("augmentation", ""),
        seed=named.get("seed"),
        data=_title(environment, named if same_data else None),
        judged=(member,),
        **(_alike(recorded, common) if same_data and recorded else common),
    )


def _title(environment: Mapping[str, Any], run: Mapping[str, Any] | None) -> str:
    """Return what the data are called that something was judged on.

    Args:
        environment: recorded with it; an early version recorded no title.
        run: columns of the run, where these are its data.
    """
    own = run["data"] if run is not None else "FER-2013"  # data.root names no other
    return str(environment.get("title") or own)


def _alike(config: Mapping[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """Return the columns without the digest of faces of which each seed draws its own."""
    return {**common, "digest": ""} if "seed" in config["data"]["source"] else common


def _costs(description: Path) -> tuple[int, int]:
    """Return parameters and multiply-accumulates of the network that a `model.yaml` describes."""
    return _costs_of(read_description(description).spec)


@cache  # a sweep repeats its networks
def _costs_of(spec: NetworkSpec) -> tuple[int, int]:
    layers = summarise(spec)
    return sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)


def _found(name: str, beside: Path) -> Path:
    """Return a folder that was recorded relative to a place that may not be this one."""
    places = [Path(), *beside.absolute().parents]
    return next((place / name for place in places if (place / name).is_dir()), Path(name))


def _description(run: Path) -> Path:
    """Return the `model.yaml` of a run or of shipped weights."""
    return model_folder(RunFolder(run)) / DESCRIPTION


def _model_name(run: Path) -> str:
    return read_description(_description(run)).spec.name


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
