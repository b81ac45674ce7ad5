"""Training labels softened by what a configuration names as teachers."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferlab.checks import FerlabError, check_keys, check_number, counted
from ferlab.data.datamodule import FaceDataModule
from ferlab.distillation.soften import choose_teachers, mean_of_chosen, soften
from ferlab.distillation.teachers import Teacher, find_teachers
from ferlab.emotions import EMOTIONS
from ferlab.learning.tensors import read_tensors, write_tensors
from ferlab.learning.trainer import make_trainer
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


class Teachers:
    """The networks and labels that `distillation.teachers` names; none where it names none.

    Args:
        values: train's configuration, plain.
        folder: of the run, or the search, that learns from them.

    Raises:
        FerlabError: one is no folder with a sound network or labels, or was trained on images that
            validate here.
    """

    def __init__(self, values: Mapping[str, Any], folder: RunFolder) -> None:
        named = _parse(values.get("distillation"))
        self._members = [member for name in named for member in find_teachers(name, values)]
        _check_all_differ(self._members)
        self._trainer = values["trainer"]
        self._folder = folder
        self._rows: NDArray[np.int64] | None = None
        self._probabilities = torch.empty(0)  # the mean of theirs for these rows

    @property
    def fixed(self) -> dict[str, str]:
        """What a run folder records of them: they must stay the same."""
        digests = ", ".join(member.digest for member in self._members)
        return {"teachers": digests} if digests else {}

    def check_data(self, data: FaceDataModule) -> None:
        """Raise FerlabError where one was trained on other data, or is of other images."""
        for member in self._members:
            member.check_data(data)

    def label(self, data: FaceDataModule, values: Mapping[str, Any]) -> None:
        """Give the train images soft labels; where there is no teacher they keep their own.

        The teachers predict once: the folder keeps their probabilities.

        Args:
            data: gets them.
            values: a configuration; says what share of each label is the mean of the teachers'
                probabilities.

        Raises:
            FerlabError: the share is out of range.
        """
        if not self._members:
            return
        share = _check_share(values["distillation"]["share"])
        rows = data.rows("train")
        if self._rows is None or not np.array_equal(self._rows, rows):
            self._probabilities = self._recall(data, rows)
            self._rows = rows
        labels = torch.from_numpy(data.store.labels[rows])
        data.soft_labels = soften(labels, self._probabilities, share)

    def predict(self, data: FaceDataModule) -> tuple[Tensor, Tensor]:
        """Predict the N train images.

        Returns:
            float32 (N, 7), for each image the mean probabilities of the teachers that have not seen
            it, where there are any, else of all; bool (N,), whether there were any.

        Raises:
            FerlabError: one predicts nan.
        """
        trainer = make_trainer(
            self._folder.path,
            **{key: self._trainer[key] for key in ("accelerator", "precision", "progress_bar")},
        )
        seen = torch.stack([torch.from_numpy(member.seen(data)) for member in self._members])
        chosen = choose_teachers(seen)
        predicted = torch.zeros(*seen.shape, len(EMOTIONS))
        for member, rows, probabilities in zip(self._members, chosen, predicted, strict=True):
            if not rows.any():
                log.warning("%s labels nothing: others have not seen the images", member.name)
                continue
            probabilities.copy_(member.predict(trainer, data))
            if not probabilities.isfinite().all():
                raise FerlabError(
                    f"distillation.teachers: {member.name} predicts nan for an image; name others"
                )
        return mean_of_chosen(predicted, chosen), ~seen.all(dim=0)

    def _recall(self, data: FaceDataModule, rows: NDArray[np.int64]) -> Tensor:
        """Return the mean of their probabilities for the train images, float32 (N, 7)."""
        match read_tensors(self._folder.teachers):
            case {"rows": Tensor() as kept, "probabilities": Tensor() as probabilities}:
                if np.array_equal(kept.numpy(), rows):
                    return probabilities
        probabilities, unseen = self.predict(data)
        if n_unseen := int(unseen.sum()):
            images = counted(n_unseen, "image")
            log.info("%s of %s by teachers that have not seen them", images, f"{len(rows):,}")
        write_tensors(
            self._folder.teachers,
            {"rows": torch.from_numpy(rows), "probabilities": probabilities},
        )
        return probabilities


def check_same_teachers(values: Mapping[str, Any], folder: RunFolder) -> None:
    """Make sure that a finished folder learned from what its configuration names today.

    Where that is not there any more it stays what it is.

    Raises:
        FerlabError: they are others.
    """
    if "teachers" not in folder.recorded_environment():
        return
    try:
        teachers = Teachers(values, folder)
    except (FerlabError, OSError):
        return
    folder.check_fixed(teachers.fixed)


def _check_all_differ(members: Sequence[Teacher]) -> None:
    """Raise FerlabError where one is there twice: it would count twice in the mean."""
    first: dict[str, Teacher] = {}
    for member in members:
        if (other := first.setdefault(member.digest, member)) is not member:
            raise FerlabError(
                f"distillation.teachers: {member.name} is the same as {other.name}; name it once"
            )


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
