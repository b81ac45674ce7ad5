"""Training labels softened by the trained networks that a configuration names as teachers."""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from ferlab.checks import FerlabError, check_keys, check_number
from ferlab.data.datamodule import FaceDataModule
from ferlab.finding import find_runs, model_folder
from ferlab.instantiate import conf_folder, plain
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.distillation import soften
from ferlab.learning.tensors import read_tensors, write_tensors
from ferlab.learning.trainer import make_trainer
from ferlab.networks.files import DESCRIPTION, digest_weights, load_network, read_description
from ferlab.runs import RunFolder
from ferlab.stages.predict import predict
from ferlab.stages.split import shipped_split_settings, split_settings, validates

log = logging.getLogger(__name__)


class Teachers:
    """The networks that `distillation.teachers` names; none where it names none.

    A folder is looked for where ferlab was started, then in its checkout.

    Args:
        config: train's.
        folder: of the run, or the search, that learns from them.

    Raises:
        FerlabError: one is no folder with a sound network, or was trained on images that validate
            here.
    """

    def __init__(self, config: DictConfig, folder: RunFolder) -> None:
        values = plain(config)
        named = _parse(values.get("distillation"))
        self._members = [member for name in named for member in _find(name, values)]
        self._config = config
        self._folder = folder
        self._rows: NDArray[np.int64] | None = None
        self._probabilities = torch.empty(0)  # the mean of theirs for these rows

    @property
    def fixed(self) -> dict[str, str]:
        """What a run folder records of them: their weights must stay the same."""
        digests = ", ".join(member.weights for member in self._members)
        return {"teachers": digests} if digests else {}

    def check_data(self, data: FaceDataModule) -> None:
        """Raise FerlabError where one was trained on other data, which nobody split as these."""
        for member in self._members:
            if member.data not in ("", data.store.digest):
                raise FerlabError(
                    f"distillation.teachers: {member.name} was trained on other data, so it may "
                    "have seen what is judged here; train it anew on these"
                )

    def label(self, data: FaceDataModule, config: DictConfig) -> None:
        """Give the train images soft labels; where there is no teacher they keep their own.

        The teachers are asked once: the folder keeps what they said.

        Args:
            data: gets them.
            config: says what share of each label is the mean of the teachers' probabilities.

        Raises:
            FerlabError: the share is out of range.
        """
        if not self._members:
            return
        share = _check_share(config.distillation.share)
        rows = data.train_and_val_rows[0]
        if self._rows is None or not np.array_equal(self._rows, rows):
            self._probabilities = self._ask(data, rows)
            self._rows = rows
        labels = torch.from_numpy(data.store.labels[rows])
        data.soft_labels = soften(labels, self._probabilities, share)

    def _ask(self, data: FaceDataModule, rows: NDArray[np.int64]) -> Tensor:
        """Return the mean of their probabilities for the train images, float32 (N, 7)."""
        match read_tensors(self._folder.teachers):
            case {"rows": Tensor() as kept, "probabilities": Tensor() as probabilities}:
                if np.array_equal(kept.numpy(), rows):
                    return probabilities
        probabilities = torch.stack(list(self._predict(data))).mean(dim=0)
        write_tensors(
            self._folder.teachers,
            {"rows": torch.from_numpy(rows), "probabilities": probabilities},
        )
        return probabilities

    def _predict(self, data: FaceDataModule) -> Iterator[Tensor]:
        """Yield each one's probabilities for the train images: float32 (N, 7)."""
        trainer = make_trainer(
            self._folder.path,
            accelerator=self._config.trainer.accelerator,
            precision=self._config.trainer.precision,
            progress_bar=self._config.trainer.progress_bar,
        )
        for member in self._members:
            test_time = member.classifier.test_time
            log.info("teacher %s labels the train images, test time: %s", member.name, test_time)
            predicted = predict(trainer, member.classifier, data, "train")
            said = torch.from_numpy(predicted.probabilities)
            if not said.isfinite().all():
                raise FerlabError(
                    f"distillation.teachers: {member.name} says nan of an image; name others"
                )
            yield said


class _Teacher(NamedTuple):
    """A trained network.

    Attributes:
        name: its folder's.
        classifier: predicts with it, in the views that its description names.
        weights: SHA-256 of its file of weights, in hex.
        data: the digest of the store that it was trained on; empty where nobody knows.
    """

    name: str
    classifier: EmotionClassifier
    weights: str
    data: str


def _parse(distillation: object) -> list[str]:
    """Return the names of the teachers in a configuration; older runs have no such section.

    Raises:
        FerlabError: a value cannot be.
    """
    if distillation is None:
        return []
    if not isinstance(distillation, Mapping):
        raise FerlabError(f"distillation must have teachers and share; got {distillation!r}")
    check_keys("distillation", distillation, ("teachers", "share"))
    _check_share(distillation.get("share"))
    named = distillation.get("teachers")
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise FerlabError(f"distillation.teachers must be a list of folders; got {named!r}")
    return named


def _check_share(share: object) -> float:
    return check_number("distillation.share", share, at_least=0, at_most=1)


def _find(name: str, values: Mapping[str, Any]) -> Iterator[_Teacher]:
    """Yield the network in this folder, or those of a sweep's folder."""
    # Shipped recipes name shipped weights. `latest` would be another run tomorrow.
    places = [place for place in (Path(name), conf_folder().parent / name) if place.is_dir()]
    if not places:
        raise FerlabError(
            f"distillation.teachers: there is no folder {name}; name those of finished trainings, "
            "or, in a checkout of ferlab, of its weights"
        )
    try:
        for run in find_runs(str(places[0])):
            place = model_folder(run)
            assert place is not None  # a run that was found has one
            views = read_description(place / DESCRIPTION).test_time
            yield _Teacher(
                name=os.path.relpath(run.path),
                classifier=EmotionClassifier(load_network(place), test_time=views),
                weights=digest_weights(place),
                data=_check_split(run, values),
            )
    except FerlabError as error:
        raise FerlabError(f"distillation.teachers: {error}") from error


def _check_split(run: RunFolder, values: Mapping[str, Any]) -> str:
    """Return the digest of the data that a network was trained on; empty of weights alone.

    Raises:
        FerlabError: it may have been trained on images that validate here.
    """
    origin = next((one for one in (run, RunFolder(run.path.parent)) if one.config.exists()), None)
    if validates(values):
        if origin is None:
            _check_split_of_weights(run, values)
        else:
            _check_split_of_run(run, origin, values)
    return "" if origin is None else str(origin.recorded_environment().get("data", ""))


def _check_split_of_run(run: RunFolder, origin: RunFolder, values: Mapping[str, Any]) -> None:
    here = split_settings(values)
    try:
        there = split_settings(origin.recorded_config())
    except (KeyError, TypeError, AttributeError) as error:
        raise FerlabError(f"{origin.config} is not the configuration of a run ({error})") from error
    for key, value in here.items():
        if there[key] != value:
            was, wanted = ("null" if one is None else one for one in (there[key], value))
            raise FerlabError(
                f"{run.path} was trained with {key}={was}, so it may have seen what validates "
                f"here; train it anew with {key}={wanted}"
            )


def _check_split_of_weights(run: RunFolder, values: Mapping[str, Any]) -> None:
    """Check weights without a configuration: shipped ones were validated as ferlab does by itself.

    Shipped ones have metrics; those of all training images have no validation there.
    """
    metrics = run.recorded_metrics()
    if metrics is not None and "val/accuracy" not in metrics:
        raise FerlabError(
            f"{run.path} was trained on all training images, so it has seen what validates here; "
            "name others, or train with data.val_fraction=0"
        )
    if metrics is None or split_settings(values) != shipped_split_settings():
        log.warning(
            "%s does not tell which images it was trained on: it may flatter this validation",
            os.path.relpath(run.path),
        )
