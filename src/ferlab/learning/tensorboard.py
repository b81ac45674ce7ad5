"""TensorBoard's view of a run, drawn from its history."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

# Custom scalars: train and validation over one another in one chart.
_LAYOUT = {
    "learning curves": {
        "loss": ["Multiline", ["train/loss", "val/loss"]],
        "accuracy": ["Multiline", ["train/accuracy", "val/accuracy"]],
    },
    "schedule": {"learning rate": ["Multiline", ["learning_rate"]]},
}


class RunTensorBoard(TensorBoardLogger):
    """Lightning's TensorBoard logger, writing straight into a run's folder.

    The event files of an interrupted start are removed: the history, restored from the
    checkpoint, is written anew, so no point appears twice.

    Args:
        save_dir: the run's folder.
    """

    def __init__(self, save_dir: Path) -> None:
        super().__init__(save_dir=save_dir, name="", version="", default_hp_metric=False)
        for events in save_dir.glob("events.out.tfevents.*"):
            events.unlink()
        self.experiment.add_custom_scalars(_LAYOUT)

    def log_result(
        self,
        hyperparameters: Mapping[str, object],
        metrics: Mapping[str, float],
        images: Mapping[str, NDArray[np.uint8]],
    ) -> None:
        """Log what a finished run came to: its row in the HPARAMS tab, and images.

        Args:
            hyperparameters: the configuration, flat, plain values.
            metrics: final metrics by name; accuracies and F1 are shown.
            images: uint8 (H, W, 3) by name.
        """
        for name, image in images.items():
            self.experiment.add_image(name, image, dataformats="HWC")
        swept = {
            name: value
            for name, value in hyperparameters.items()
            if not name.startswith("model.layers") and not name.endswith("_partial_")
        }
        final = {
            f"hp/{name}": value
            for name, value in metrics.items()
            if name.endswith(("accuracy", "f1"))
        }
        self.log_hyperparams(swept, final)
        self.save()

    def save(self) -> None:
        """Write what is pending; Lightning's own would add a copy of the hyperparameters."""
        self.experiment.flush()
