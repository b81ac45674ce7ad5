"""A classifier's predictions for a split, as every stage that judges one needs them."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import lightning as L
import torch
from torch import Tensor

from ferlab.checks import Interrupted
from ferlab.data.datamodule import FaceDataModule
from ferlab.learning.classifier import EmotionClassifier
from ferlab.reporting.results import Predictions


def predict(
    trainer: L.Trainer, classifier: EmotionClassifier, data: FaceDataModule, split: str
) -> Predictions:
    """Return the classifier's predictions for `train`, `val` or `test`, in the store's order.

    SIGTERM ends it: Interrupted is raised.
    """
    data.trainer = trainer  # the images go where it computes
    rows = data.judged_rows(split)
    with _ended_by_sigterm():
        batches = trainer.predict(classifier, data.batches_of(rows))
    assert batches is not None
    return Predictions(
        names=data.store.names[rows],
        images=data.store.images[rows],
        labels=data.store.labels[rows],
        probabilities=torch.cat([batch for batch in batches if isinstance(batch, Tensor)]).numpy(),
        parts=data.test_parts() if split == "test" else {},
    )


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Raise Interrupted at SIGTERM, which Lightning by itself would note and predict on."""
    if threading.current_thread() is not threading.main_thread():  # signals reach that one alone
        yield
        return

    def end(*_: object) -> None:
        raise Interrupted("stopped by SIGTERM")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
