"""The objects that a configuration names, checked before any image is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
    WeightAveraging,
)
from omegaconf import DictConfig
from torch import nn

from ferlab.augment.targeted import TargetedAugmentation
from ferlab.augment.transforms import make_transforms
from ferlab.checks import FerlabError, check_integer, check_keys
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.store import ImageStore
from ferlab.emotions import IMAGE_SIZE
from ferlab.instantiate import instantiate, plain
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.dropout import CurriculumDropout
from ferlab.learning.losses import Loss
from ferlab.learning.metrics import MONITORS
from ferlab.learning.normalisation import PreciseBatchNorm
from ferlab.learning.schedules import Plateau
from ferlab.learning.sharpness import SAM
from ferlab.learning.trainer import make_trainer
from ferlab.networks.build import build_network
from ferlab.networks.specs import parse_model
from ferlab.running.split import split_arguments, validates


def make_classifier(config: DictConfig) -> EmotionClassifier:
    """Return the module of the groups model, loss, optimizer and scheduler.

    Raises:
        FerlabError: a value or a class cannot be, or there is no validation for the scheduler to
            watch.
    """
    seed = check_integer("seed", config.seed, at_least=0, at_most=2**32 - 1)
    # An experiment's own values outlive scheduler=none; without a target they are of no schedule.
    named = config.scheduler and "_target_" in config.scheduler
    schedule = instantiate(config.scheduler, "scheduler") if named else None
    if schedule is not None and not hasattr(schedule, "build"):
        raise FerlabError(
            f"scheduler: {config.scheduler._target_} has no build; choose one of conf/scheduler, "
            "or write a class like those of ferlab.learning.schedules"
        )
    loss = instantiate(config.loss, "loss")
    if not isinstance(loss, Loss):
        raise FerlabError(
            f"loss: {config.loss._target_} is no ferlab.learning.losses.Loss; derive a class of "
            "your own from that"
        )
    if isinstance(schedule, Plateau) and not validates(config):
        raise FerlabError(
            "the scheduler watches the validation, and data.val_fraction=0 leaves none; use "
            "scheduler=one_cycle, cosine or none"
        )
    return EmotionClassifier(
        build_network(parse_model(plain(config.model)), seed),
        optimizer=instantiate(config.optimizer, "optimizer"),
        schedule=schedule,
        loss=loss,
        monitor=config.monitor,
        test_time=config.augment.test_time,
        seed=seed,
    )


def make_data(
    config: DictConfig, input_size: int = IMAGE_SIZE, store: ImageStore | None = None
) -> FaceDataModule:
    """Return the datamodule of the groups data and augment; no image is read yet.

    Args:
        config: the stage's.
        input_size: side of what the network sees, pixels.
        store: what the source would return, where it was read before.
    """
    read = instantiate(config.data.source, "data.source") if store is None else lambda: store
    return FaceDataModule(
        source=read,
        augmentation=make_augmentation(plain(config.augment)),
        batch_size=config.data.batch_size,
        eval_batch_size=config.data.eval_batch_size,
        **split_arguments(config),
        crop=input_size if input_size < IMAGE_SIZE else None,
        seed=config.seed,
    )


def make_configured_trainer(
    config: DictConfig,
    network: nn.Module,
    folder: Path,
    first: Sequence[Callback],
    last: Sequence[Callback],
) -> L.Trainer:
    """Return the trainer of the groups trainer and callbacks, its logger left out.

    Args:
        config: the stage's.
        network: what will be trained.
        folder: the run's.
        first: called before the configured callbacks.
        last: called after them.

    Raises:
        FerlabError: as of `make_trainer`, or gradients cannot be clipped or computed twice, or
            there is no validation to stop by, or the network has not what a callback acts on.
    """
    in_fp16 = config.trainer.precision == "16-mixed"
    if in_fp16 and config.optimizer.get("_target_") == f"{SAM.__module__}.{SAM.__name__}":
        raise FerlabError(
            "optimizer=sam computes two gradients a step, which the scaling of fp16 does not know; "
            "use trainer.precision=bf16-mixed or 32-true"
        )
    if in_fp16 and config.trainer.gradient_clip is not None and config.optimizer.get("fused"):
        raise FerlabError(
            "trainer.gradient_clip with trainer.precision=16-mixed needs optimizer.fused=false; "
            "add that, or use bf16-mixed"
        )
    configured = {
        name: instantiate(node, f"callbacks.{name}")
        for name, node in config.callbacks.items()
        if node is not None
    }
    for name, callback in configured.items():
        if not isinstance(callback, Callback):
            raise FerlabError(
                f"callbacks.{name}: {config.callbacks[name]._target_} is no Callback of Lightning; "
                f"take it out with '~callbacks.{name}'"
            )
        if remedy := _instead_of(callback):
            raise FerlabError(f"callbacks.{name}: {type(callback).__name__} {remedy}")
        if isinstance(callback, EarlyStopping) and not validates(config):
            raise FerlabError(
                f"callbacks.{name} watches the validation, and data.val_fraction=0 leaves none; "
                f"add callbacks.{name}=null and settle trainer.max_epochs beforehand"
            )
        if isinstance(callback, CurriculumDropout | PreciseBatchNorm):
            callback.check(network)
    # Statistics are measured of the averaged weights, whichever was named first.
    ordered = sorted(configured.values(), key=lambda one: not isinstance(one, WeightAveraging))
    return make_trainer(
        folder,
        accelerator=config.trainer.accelerator,
        precision=config.trainer.precision,
        max_epochs=config.trainer.max_epochs,
        gradient_clip=config.trainer.gradient_clip,
        profiler=config.trainer.profiler,
        compile=config.trainer.compile,
        validate=validates(config),
        progress_bar=config.trainer.progress_bar,
        callbacks=[*first, *ordered, *last],
    )


def _instead_of(callback: Callback) -> str:
    """Return why a callback of Lightning's does not work here, and what does; empty if it does."""
    match callback:
        case ModelCheckpoint():
            return "is not needed: the best weights are kept and checkpoints are written without it"
        case StochasticWeightAveraging():
            return "adds an epoch that nothing here counts; use callbacks=ema"
        case GradientAccumulationScheduler():
            return "changes what a step is, by which the learning rate falls; use a data.batch_size"
        case BatchSizeFinder():
            return "takes another batch size than the configuration holds; use a data.batch_size"
        case LearningRateFinder():
            return "takes a learning rate that no configuration holds; use `ferlab tune`"
        case EarlyStopping() if callback.monitor not in MONITORS:
            return f"cannot watch {callback.monitor}; it can watch {', '.join(MONITORS)}"
    return ""


def make_augmentation(augment: Mapping[str, Any]) -> TargetedAugmentation:
    """Return the plan of the group augment; what it says of test time is not part of it.

    Raises:
        FerlabError: an unknown key, or a value out of range.
    """
    known = ("extra", "apply_to", "frozen", "transforms", "mixup", "refine", "test_time")
    check_keys("augment", augment, known)
    plan = {key: value for key, value in augment.items() if key not in ("transforms", "test_time")}
    transforms = augment.get("transforms")
    return TargetedAugmentation(make_transforms(transforms) if transforms else None, **plan)
