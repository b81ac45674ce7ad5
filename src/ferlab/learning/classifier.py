"""The LightningModule: what one step of training and of evaluation computes."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ferlab.augment.crops import TEST_TIME, views_at_test_time
from ferlab.checks import FerlabError, check_choice, check_number
from ferlab.data.batches import Batch
from ferlab.learning.losses import CrossEntropy, Loss
from ferlab.learning.metrics import MONITORS, EpochMetrics
from ferlab.learning.schedules import Schedule
from ferlab.networks.build import LayeredNetwork
from ferlab.randomness import mix_seed

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]


class EmotionClassifier(L.LightningModule):
    """A network that learns the seven classes, fitted with a FaceDataModule.

    Args:
        network: images (B, 1, 48, 48) to logits (B, 7).
        optimizer: makes the optimizer of the network's parameters; None for a module that
            predicts and does not learn.
        schedule: of the learning rate; None keeps it.
        loss: what the training minimises; None is plain cross-entropy. The loss that is reported
            of the validation images is plain cross-entropy whatever this is.
        monitor: one of MONITORS.
        test_time: what predictions are averaged over, one of TEST_TIME.
        seed: of dropout, whose masks are a function of (seed, epoch, batch index, process).

    Attributes:
        schedule: as given.
        val_confusion: int64 (7, 7), that of all validation images when they were last judged, rows
            = true class, columns = predicted class.
    """

    val_confusion: Tensor

    def __init__(
        self,
        network: LayeredNetwork,
        optimizer: MakeOptimizer | None = None,
        schedule: Schedule | None = None,
        loss: Loss | None = None,
        monitor: str = "val/accuracy",
        test_time: str = "none",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.loss = loss or CrossEntropy()
        self.train_metrics = EpochMetrics()
        self.val_metrics = EpochMetrics()
        self.monitor = check_choice("monitor", monitor, MONITORS)
        self.test_time = check_choice("augment.test_time", test_time, TEST_TIME)
        self.seed = seed
        self.schedule = schedule
        self._scheduler: LRScheduler | None = None
        self._resumed: dict[str, Any] | None = None  # the scheduler's state in a checkpoint
        self._is_measured = False  # whether the batch is among the training's metrics
        # Built at once: a wrong value is met before any image is read.
        values = optimizer.keywords if isinstance(optimizer, functools.partial) else {}
        if "lr" in values:
            check_number("optimizer.lr", values["lr"], above=0)
        if "momentum" in values:  # of which PyTorch checks no more than that it is not negative
            check_number("optimizer.momentum", values["momentum"], at_least=0, below=1)
        self._optimizer: Optimizer | None = None
        try:
            if optimizer is not None:
                self._optimizer = optimizer(self.network.parameters())
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise FerlabError(f"optimizer: {error}") from error
        lowest = getattr(schedule, "min_lr", 0.0)
        if "lr" in values and values["lr"] <= lowest:
            raise FerlabError(
                f"the learning rate cannot fall to scheduler.min_lr={lowest:g} from "
                f"optimizer.lr={values['lr']:g}; lower the former"
            )

    def configure_optimizers(self) -> Optimizer:
        assert self._optimizer is not None, "a module without an optimizer cannot learn"
        # The scheduler stays out of Lightning's hands: on a resume in mid-epoch those would
        # leave out one step of a scheduler that watches a metric.
        if self.schedule is not None:
            # Not Lightning's estimate of the steps: it would start the batches of a resumed epoch
            # before their position is restored.
            n_batches = len(self.trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
            assert self.trainer.max_epochs is not None
            self._scheduler = self.schedule.build(
                self._optimizer,
                total_steps=self.trainer.max_epochs * n_batches,
                mode=MONITORS[self.monitor],
            )
            if self._resumed is not None:
                self._scheduler.load_state_dict(self._resumed)
        return self._optimizer

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, 7) of images (B, 1, 48, 48) in [0, 1]."""
        # Judged as it is: a compiled network would be compiled anew for each size of batch.
        compute = self.network if self.training else self.network.forward
        logits: Tensor = compute(images)
        return logits

    def on_fit_start(self) -> None:  # the weights are on their device, a checkpoint is not yet read
        if self.trainer.precision == "16-mixed" and self._optimizer is not None:
            _begin_at_rest(self._optimizer)

    def on_train_start(self) -> None:
        if not self.trainer.is_global_zero:  # a checkpoint holds the sums of all processes
            self.train_metrics.reset()

    def on_train_epoch_start(self) -> None:
        self.train_metrics.reset()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self._is_measured = False

    def seed_dropout(self, batch_idx: int) -> None:
        """Let the masks of dropout follow from the place of the batch."""
        seed = mix_seed(self.seed, self.current_epoch, batch_idx, 2, self.global_rank)
        if self.device.type == "cpu":
            # torch.manual_seed formats its stack for each kind of device that is not there.
            torch.default_generator.manual_seed(seed)
        else:
            torch.get_device_module(self.device).manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seed_dropout(batch_idx)
        logits = self(batch.images)
        loss: Tensor = self.loss(logits, batch.labels)
        if not self._is_measured:  # an optimizer may come again, with other weights
            labels = batch.labels if batch.labels.ndim == 1 else batch.labels.argmax(dim=1)
            self.train_metrics.update(logits.detach(), labels, loss)
            self._is_measured = True
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Not at the batch's end: a checkpoint is written before the module hears of that.
        if self._scheduler is not None and not isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step()

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if self.trainer.precision != "bf16-mixed":
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
        elif gradient_clip_val:
            # Lightning's own refuses fused optimizers, though nothing is scaled in bf16 (its issue
            # 21435).
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def on_train_epoch_end(self) -> None:
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(float(self.trainer.callback_metrics[self.monitor]))

    def on_validation_epoch_start(self) -> None:
        self.val_metrics.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch.images)
        self.val_metrics.update(logits, batch.labels, F.cross_entropy(logits, batch.labels))

    def on_validation_epoch_end(self) -> None:
        values = self.val_metrics.compute()
        self.val_confusion = values["confusion"]
        monitored = {key: values[key.removeprefix("val/")] for key in MONITORS}
        self.log_dict(monitored, logger=False)

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probabilities (B, 7) of images (B, 1, 48, 48) in [0, 1].

        They are averaged over the views that `test_time` names, in the order of EMOTIONS.
        """
        views = views_at_test_time(images, self.test_time, self.network.input_size)
        return torch.stack([self(view).softmax(dim=1) for view in views]).mean(dim=0)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Return the probabilities float32 (B, 7) of a batch, on the CPU."""
        return self.probabilities(batch.images).cpu()

    @property
    def n_parameters(self) -> int:
        """Trainable parameters of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def learning_rate(self) -> float:
        """The optimizer's present learning rate, of its first parameter group."""
        assert self._optimizer is not None
        return float(self._optimizer.param_groups[0]["lr"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._scheduler is not None:
            checkpoint["scheduler"] = self._scheduler.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed = checkpoint.get("scheduler")  # Lightning calls this before it is built


def _begin_at_rest(optimizer: Optimizer) -> None:
    """Set the momentum of a fused SGD to nothing before its first step.

    In fp16 a step whose gradients overflow is skipped. Where that is the first one, PyTorch's fused
    SGD would go on with a momentum of whatever lay in memory.
    """
    for group in optimizer.param_groups:
        if group.get("fused") and group.get("momentum"):
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
