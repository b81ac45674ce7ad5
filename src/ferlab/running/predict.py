"""A classifier's predictions for a split, as every stage that judges one needs them."""

from collections.abc import Iterator

import lightning as L
import torch
from torch import Tensor

from ferlab.data.batches import Batch, EvalBatches
from ferlab.data.datamodule import FaceDataModule
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.signals import Signals
from ferlab.reporting.predictions import Predictions


def predict(
    trainer: L.Trainer, classifier: EmotionClassifier, data: FaceDataModule, split: str
) -> Predictions:
    """Return the classifier's predictions for `train`, `val` or `test`, in the store's order.

    Raises:
        Interrupted: SIGINT or SIGTERM came meanwhile.
    """
    data.trainer = trainer  # the images go where it computes
    rows = data.rows(split)
    with Signals() as signals:
        batches = trainer.predict(classifier, _Stoppable(data.batches_of(rows), signals))
        signals.check()  # the last batches were fetched before they were predicted
    assert batches is not None
    return Predictions(
        names=data.store.names[rows],
        images=data.store.images[rows],
        labels=data.store.labels[rows],
        probabilities=torch.cat([batch for batch in batches if isinstance(batch, Tensor)]).numpy(),
        parts=data.test_parts() if split == "test" else {},
    )


class _Stoppable:
    """Batches that end where a signal has come; Lightning would note SIGTERM and predict on."""

    def __init__(self, batches: EvalBatches, signals: Signals) -> None:
        self._batches = batches
        self._signals = signals

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            yield batch
            self._signals.check()
