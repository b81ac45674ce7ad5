"""What can label training images: a trained network, or the shipped labels of several."""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferlab.checks import FerlabError
from ferlab.data.datamodule import FaceDataModule
from ferlab.distillation.labels import LABELS, Labels, load_labels
from ferlab.finding import find_runs, model_folder
from ferlab.instantiate import conf_folder
from ferlab.learning.classifier import EmotionClassifier
from ferlab.networks.files import DESCRIPTION, digest_weights, load_network, read_description
from ferlab.running.predict import predict
from ferlab.running.split import (
    shipped_split_settings,
    split_arguments,
    split_settings,
    validates,
)
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


class Teacher(Protocol):
    """What labels training images."""

    @property
    def name(self) -> str:
        """Of its folder."""

    @property
    def digest(self) -> str:
        """SHA-256 of its file, in hex."""

    def check_data(self, data: FaceDataModule) -> None:
        """Raise FerlabError where it does not know these images, or others may have taught it."""

    def predict(self, trainer: L.Trainer, data: FaceDataModule) -> Tensor:
        """Return the probabilities of the N train images: float32 (N, 7)."""

    def seen(self, data: FaceDataModule) -> NDArray[np.bool_]:
        """Return whether it was trained on each of the N train images: (N,)."""


def find_teachers(name: str, values: Mapping[str, Any]) -> Iterator[Teacher]:
    """Yield what lies in a folder: labels, a network, or those of a sweep's jobs.

    Args:
        name: the folder, looked for where ferlab was started, then in its checkout.
        values: the configuration of the training that learns from them.

    Raises:
        FerlabError: there is nothing sound, or it may have been trained on images that validate
            there.
    """
    # Shipped recipes name shipped weights. `latest` would be another run tomorrow.
    places = [place for place in (Path(name), conf_folder().parent / name) if place.is_dir()]
    if not places:
        raise FerlabError(
            f"distillation.teachers: there is no folder {name}; name those of finished trainings, "
            "or, in a checkout of ferlab, of its weights"
        )
    try:
        if (places[0] / LABELS).is_file():
            yield _LabelTeacher(places[0], values)
            return
        for run in find_runs(str(places[0])):
            yield _NetworkTeacher(run, values)
    except FerlabError as error:
        raise FerlabError(f"distillation.teachers: {error}") from error


class _NetworkTeacher:
    """A trained network, which predicts in the views that its description names."""

    def __init__(self, run: RunFolder, values: Mapping[str, Any]) -> None:
        place = model_folder(run)
        description = read_description(place / DESCRIPTION)
        self._classifier = EmotionClassifier(load_network(place), test_time=description.test_time)
        self._trained_on = description.trained_on
        self._validates = validates(values)
        self.name = os.path.relpath(run.path)
        self.digest = digest_weights(place)
        # Named may be a run, or the folder `model` of one.
        own = (one for one in (run, RunFolder(run.path.parent)) if one.config.exists())
        origin = next(own, None)
        self._split: dict[str, Any] | None = None  # None where nobody knows
        self._data = ""  # likewise
        if origin is None:
            if self._validates:
                _check_split_of_weights(run, values, self._trained_on is not None)
            return
        config = origin.recorded_config()
        try:
            self._split = split_arguments(config)
            settings = split_settings(config)
        except (KeyError, TypeError, AttributeError) as error:
            raise FerlabError(
                f"{origin.config} is not the configuration of a run ({error})"
            ) from error
        if self._validates:
            _check_split(str(run.path), settings, values, "train it anew with {}")
        self._data = str(origin.recorded_environment().get("data", ""))

    def check_data(self, data: FaceDataModule) -> None:
        if self._data not in ("", data.store.digest):
            raise FerlabError(
                f"distillation.teachers: {self.name} was trained on other data, so it may "
                "have seen what is judged here; train it anew on these"
            )
        here = data.store.digest_of("training")
        if self._validates and self._trained_on not in (None, here):
            log.warning(
                "%s was trained on other images than these: where they are in part the same, it "
                "may flatter this validation",
                self.name,
            )

    def predict(self, trainer: L.Trainer, data: FaceDataModule) -> Tensor:
        views = self._classifier.test_time
        log.info("teacher %s labels the train images, test time: %s", self.name, views)
        predicted = predict(trainer, self._classifier, data, "train")
        return torch.from_numpy(predicted.probabilities)

    def seen(self, data: FaceDataModule) -> NDArray[np.bool_]:
        rows = data.rows("train")
        if self._split is None:
            return np.ones(len(rows), dtype=bool)
        there = FaceDataModule(lambda: data.store, **self._split)
        hashes = data.store.hashes  # one of identical images may have been left out
        return np.isin(hashes[rows], hashes[there.rows("train")])


class _LabelTeacher:
    """Shipped labels, each of networks that had not seen the image."""

    def __init__(self, folder: Path, values: Mapping[str, Any]) -> None:
        self._labels: Labels = load_labels(folder)
        self.name = os.path.relpath(folder)
        self.digest = self._labels.digest
        if validates(values):
            _check_split(
                f"what labels {folder}",
                self._labels.split,
                values,
                "leave that as it is, or use distillation.teachers=[]",
            )

    def check_data(self, data: FaceDataModule) -> None:
        n_images = len(data.store.rows("training"))
        own = self._labels.images == data.store.digest_of("training")
        if not own or len(self._labels.probabilities) != n_images:
            raise FerlabError(
                f"distillation.teachers: {self.name} are labels of other images; use "
                "distillation.teachers=[], or name networks that were trained on these"
            )

    def predict(self, trainer: L.Trainer, data: FaceDataModule) -> Tensor:
        log.info("%s label the train images", self.name)
        place = np.searchsorted(data.store.rows("training"), data.rows("train"))
        return self._labels.probabilities[torch.from_numpy(place)]

    def seen(self, data: FaceDataModule) -> NDArray[np.bool_]:
        return np.zeros(len(data.rows("train")), dtype=bool)


def _check_split(
    name: str, there: Mapping[str, object], values: Mapping[str, Any], remedy: str
) -> None:
    """Raise FerlabError where what was trained by one split may have seen what validates here.

    Args:
        name: of what was trained.
        there: its split_settings.
        values: the configuration here.
        remedy: what to do; `{}` in it stands for the setting here.
    """
    for key, value in split_settings(values).items():
        if there[key] != value:
            was, wanted = ("null" if one is None else one for one in (there[key], value))
            raise FerlabError(
                f"{name} was trained with {key}={was}, so it may have seen what validates here, "
                f"with {key}={wanted}; {remedy.format(f'{key}={wanted}')}"
            )


def _check_split_of_weights(
    run: RunFolder, values: Mapping[str, Any], are_images_known: bool
) -> None:
    """Check weights without a configuration: shipped ones were validated as ferlab does by itself.

    Shipped ones have metrics; those of all training images have no validation there.
    """
    metrics = run.recorded_metrics()
    if metrics is not None and "val/accuracy" not in metrics:
        raise FerlabError(
            f"{run.path} was trained on all training images, so it has seen what validates here; "
            "name others, or train with data.val_fraction=0"
        )
    by_own_split = metrics is not None and split_settings(values) == shipped_split_settings()
    if not (by_own_split and are_images_known):
        log.warning(
            "%s does not tell which images it was trained on: it may flatter this validation",
            os.path.relpath(run.path),
        )
