"""TensorBoard's view of a run, drawn from its history."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

from ferlab.checks import check_integer
from ferlab.data.batches import to_uint8
from ferlab.learning.classifier import EmotionClassifier
from ferlab.reporting import faces, figures

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
        confusion_every: epochs from one picture of the validation images' confusion to the next.

    Attributes:
        confusion_every: as above.
    """

    def __init__(self, save_dir: Path, confusion_every: int = 10) -> None:
        self.confusion_every = check_integer("logger.confusion_every", confusion_every, at_least=1)
        super().__init__(save_dir=save_dir, name="", version="", default_hp_metric=False)
        for events in save_dir.glob("events.out.tfevents.*"):
            events.unlink()
        self.experiment.add_custom_scalars(_LAYOUT)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values by name, as Lightning's does.

        Raises:
            OSError: they cannot be written; Lightning's own would say that the values are wrong.
        """
        try:
            super().log_metrics(metrics, step)
        except ValueError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise

    def log_result(
        self,
        hyperparameters: Mapping[str, object],
        metrics: Mapping[str, float],
        images: Mapping[str, NDArray[np.uint8]],
    ) -> None:
        """Log what a finished run came to: its row in the HPARAMS tab, and images.

        Args:
            hyperparameters: by name; TensorBoard shows five of them at first.
            metrics: final metrics by name; accuracies and F1 are shown.
            images: uint8 (H, W, 3) by name.
        """
        for name, image in images.items():
            self.experiment.add_image(name, image, dataformats="HWC")
        final = {
            f"hp/{name}": value
            for name, value in metrics.items()
            if name.endswith(("accuracy", "f1"))
        }
        self.log_hyperparams(dict(hyperparameters), final)
        self.save()

    def save(self) -> None:
        """Write what is pending; Lightning's own would add a copy of the hyperparameters."""
        self.experiment.flush()


class Pictures(Callback):
    """Shows in TensorBoard what is trained on, and how the validation images are confused.

    Of the former the first batch, with its augmentation; of the latter a matrix every
    `confusion_every` epochs. Without a RunTensorBoard it does nothing.
    """

    def __init__(self) -> None:
        self._confusions: dict[int, list[list[int]]] = {}  # by epoch: those that were shown

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not isinstance(trainer.logger, RunTensorBoard):
            return
        # Another loader: it begins at the first epoch, whatever the training's own has come to.
        first = next(iter(trainer.datamodule.train_dataloader()))  # type: ignore[attr-defined]
        images = to_uint8(first.images[:64]).cpu().numpy()  # (64, 1, 48, 48)
        sheet = faces.contact_sheet(images, columns=16)
        trainer.logger.experiment.add_image("train/first batch", sheet, dataformats="HW")
        for epoch in self._confusions:
            self._show(trainer.logger, epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, EmotionClassifier)
        logger, epoch = trainer.logger, trainer.current_epoch + 1
        if not isinstance(logger, RunTensorBoard) or not trainer.enable_validation:
            return
        if epoch % logger.confusion_every == 0:
            self._confusions[epoch] = pl_module.val_confusion.tolist()
            self._show(logger, epoch)

    def state_dict(self) -> dict[str, Any]:
        return {"confusions": self._confusions}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._confusions = state_dict["confusions"]

    def _show(self, logger: RunTensorBoard, epoch: int) -> None:
        matrix = np.array(self._confusions[epoch])
        figure = figures.draw_confusion_matrix(matrix, f"validation, epoch {epoch}")
        image = figures.to_image(figure)
        logger.experiment.add_image("val/confusion", image, epoch, dataformats="HWC")
