"""A classifier's predictions for a split, as every stage that judges one needs them."""

import lightning as L
import torch
from torch import Tensor

from ferlab.data.datamodule import FaceDataModule
from ferlab.learning.classifier import EmotionClassifier
from ferlab.reporting.results import Predictions


def predict(
    trainer: L.Trainer, classifier: EmotionClassifier, data: FaceDataModule, split: str
) -> Predictions:
    """Return the classifier's predictions for `train`, `val` or `test`, in the store's order."""
    data.trainer = trainer  # the images go where it computes
    rows = data.judged_rows(split)
    batches = trainer.predict(classifier, data.batches_of(rows))
    assert batches is not None
    return Predictions(
        names=data.store.names[rows],
        images=data.store.images[rows],
        labels=data.store.labels[rows],
        probabilities=torch.cat([batch for batch in batches if isinstance(batch, Tensor)]).numpy(),
        parts=data.test_parts() if split == "test" else {},
    )
