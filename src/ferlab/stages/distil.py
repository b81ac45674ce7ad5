"""Training labels softened by the trained networks that a configuration names as teachers."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig

from ferlab.checks import FerlabError, check_number
from ferlab.data.datamodule import FaceDataModule
from ferlab.finding import find_runs, model_folder
from ferlab.instantiate import conf_folder, plain
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.distillation import soften
from ferlab.learning.trainer import make_trainer
from ferlab.networks.files import DESCRIPTION, load_network, read_description
from ferlab.reporting import results
from ferlab.runs import RunFolder
from ferlab.stages.predict import predict

log = logging.getLogger(__name__)


class Teacher(NamedTuple):
    """A trained network.

    Attributes:
        place: the folder of its weights.
        test_time: what its predictions are averaged over.
        sha256: of its weights, in hex.
    """

    place: Path
    test_time: str
    sha256: str


def find_teachers(config: DictConfig) -> list[Teacher]:
    """Return the networks that `distillation.teachers` names, none where it names none.

    A folder is looked for where ferlab was started, then in its checkout.

    Raises:
        FerlabError: one is no folder with a network, or was trained on images that validate here.
    """
    values = plain(config)
    distillation = values.get("distillation") or {"teachers": []}  # older runs have none
    named = distillation["teachers"]
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise FerlabError(f"distillation.teachers must be a list of folders; got {named!r}")
    if named:
        check_number("distillation.share", distillation["share"], at_least=0, at_most=1)
    teachers = []
    for name in named:
        # Shipped recipes name shipped weights. `latest` would be another run tomorrow.
        places = [place for place in (Path(name), conf_folder().parent / name) if place.is_dir()]
        if not places:
            raise FerlabError(
                f"distillation.teachers: there is no folder {name}; name those of finished "
                "trainings, or, in a checkout of ferlab, of its weights"
            )
        try:
            runs = find_runs(str(places[0]))
        except FerlabError as error:
            raise FerlabError(f"distillation.teachers: {error}") from error
        for run in runs:
            _check_split(run, values)
            place = model_folder(run)
            assert place is not None  # a run that was found has one
            description = read_description(place / DESCRIPTION)
            teachers.append(Teacher(place, description.test_time, str(description.sha256)))
    return teachers


def distil(
    config: DictConfig, teachers: list[Teacher], folder: RunFolder, data: FaceDataModule
) -> None:
    """Give the train images soft labels, in part the mean of the teachers' probabilities."""
    if not teachers:
        return
    trainer = make_trainer(
        folder.path,
        accelerator=config.trainer.accelerator,
        precision=config.trainer.precision,
        progress_bar=config.trainer.progress_bar,
    )
    predictions = []
    for teacher in teachers:
        name = os.path.relpath(teacher.place)
        log.info("teacher %s labels the train images, test time: %s", name, teacher.test_time)
        classifier = EmotionClassifier(load_network(teacher.place), test_time=teacher.test_time)
        predictions.append(predict(trainer, classifier, data, "train"))
    mean = results.average(predictions)
    data.soft_labels = soften(
        torch.from_numpy(mean.labels),
        torch.from_numpy(mean.probabilities),
        config.distillation.share,
    )


def _check_split(run: RunFolder, values: Mapping[str, Any]) -> None:
    """Raise FerlabError where a run validated on other images; of weights alone nobody knows."""
    if not run.config.exists():
        return
    there, here = _split(run.recorded_config()), _split(values)
    for key, value in here.items():
        if there[key] != value:
            raise FerlabError(
                f"distillation.teachers: {run.path} was trained with {key}={there[key]}, so it may "
                f"have seen what validates here; train it anew with {key}={value}"
            )


def _split(values: Mapping[str, Any]) -> dict[str, object]:
    """Return what settles which images validate."""
    data = values["data"]
    keys = ("val_fraction", "split_seed", "twins", "blank", "limit")
    split = {f"data.{key}": data.get(key) for key in keys}
    split["data.split_seed"] = data.get("split_seed", values["seed"])  # older runs' followed it
    return split
