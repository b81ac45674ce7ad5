"""`ferlab train`: images in, a finished run folder out."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import lightning as L
import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from ferlab.checks import FerlabError, Interrupted, check_integer
from ferlab.data.datamodule import FaceDataModule
from ferlab.distillation.distil import Teachers, check_same_teachers
from ferlab.emotions import EMOTIONS
from ferlab.files import write_json
from ferlab.finding import find_begun
from ferlab.history import best_row
from ferlab.instantiate import check_recorded, conf_folder, instantiate, plain
from ferlab.keys import flatten, settles_result
from ferlab.learning.callbacks import BestWeights, Divergence
from ferlab.learning.checkpoints import Checkpoints
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.history import History
from ferlab.learning.metrics import MONITORS
from ferlab.learning.processes import from_first
from ferlab.learning.schedules import Cosine, OneCycle
from ferlab.learning.tensorboard import Pictures, RunTensorBoard
from ferlab.learning.trainer import describe_device
from ferlab.networks.files import save_network
from ferlab.reporting import figures, results
from ferlab.reporting.predictions import write_predictions
from ferlab.running.compose import make_classifier, make_configured_trainer, make_data
from ferlab.running.entry import run_stage
from ferlab.running.known import local_values
from ferlab.running.predict import predict
from ferlab.running.recorded import check_same_data
from ferlab.running.split import validates
from ferlab.running.sweep import own_values
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)

MAY_DIFFER = {
    "data.root": ("data.root", "data.source.root"),
    "data.cache": ("data.cache", "data.source.cache"),
    "checkpoint.every": ("checkpoint.every",),
    "trainer.progress_bar": ("trainer.progress_bar",),
}
"""What a command with `resume=` may set, and where the run's own configuration has it."""

JUDGED = ("val", "test")
"""What a finished training is judged on, where it has images."""


def main(overrides: Sequence[str]) -> int:
    """Run the stage with these overrides; return the exit status."""
    return run_stage("train", train, overrides, check_finished=check_same_teachers)


def train(config: DictConfig, folder: RunFolder) -> float | None:
    """Train, evaluate and write the run; return the monitored metric of the best epoch.

    With `data.val_fraction=0` nothing validates: the last epoch's weights are kept, and None is
    returned. A finished folder returns what it recorded; an interrupted training goes on by itself.
    """
    if config.resume is not None:
        return _resume(config)
    values = plain(config)
    folder.check_configuration(values)
    if (recorded := folder.recorded_metrics()) is not None:
        check_same_data(config, folder)
        check_same_teachers(values, folder)
        if validates(config) and config.monitor not in recorded:
            raise FerlabError(f"{folder.metrics} is damaged (no {config.monitor}); delete it")
        log.info("finished before, nothing to do: %s", os.path.relpath(folder.path))
        return recorded.get(config.monitor)

    # What is wrong in the configuration is met here, before any image is read.
    classifier = make_classifier(config)
    teachers = Teachers(values, folder)
    data = make_data(config, classifier.network.input_size)
    history, best = History(folder.history), BestWeights(config.monitor)
    divergence = Divergence(folder.last_checkpoint)
    checkpoints = Checkpoints(
        folder.last_checkpoint, folder.best_checkpoint, best, divergence, config.checkpoint.every
    )
    callbacks = [divergence, history, best, Pictures()]
    trainer = make_configured_trainer(
        config, classifier.network, folder.path, callbacks, [checkpoints]
    )
    make_logger = config.logger and instantiate(config.logger, "logger")
    if make_logger is not None and "confusion_every" in config.logger:
        check_integer("logger.confusion_every", config.logger.confusion_every, at_least=1)

    log.info("device  %s, precision %s", describe_device(trainer), trainer.precision)
    n_parameters = f"{classifier.n_parameters:,}"
    log.info("model   %s, %s trainable parameters", config.model.name, n_parameters)
    if trainer.early_stopping_callback is not None:
        if isinstance(classifier.schedule, Cosine | OneCycle):
            log.info(
                "early stopping may end this training while the learning rate is still high; "
                "callbacks.early_stopping=null lets it fall to its end"
            )
        if 0 < data.augmentation.refine < 1:
            log.info(
                "early stopping may end this training before augment.refine begins; "
                "callbacks.early_stopping=null lets it come to that"
            )
    log.info("%s", _describe_splits(data))
    teachers.check_data(data)
    data.check_division(trainer.world_size)
    if not any(len(data.rows(split)) for split in JUDGED):
        raise FerlabError(
            "there are no test images, and data.val_fraction=0 leaves none to validate: nothing "
            "could be judged; leave out data.val_fraction=0, or name other data with data.root="
        )
    if trainer.is_global_zero:  # of several processes the first one writes
        folder.open(
            values,
            {
                "data": data.store.digest,
                **teachers.fixed,
                "accelerator": trainer.strategy.root_device.type,
                "precision": trainer.precision,
                "processes": str(trainer.world_size),  # of which each normalises its own images
            },
            device=describe_device(trainer),
            overrides=HydraConfig.get().overrides.task,
            local=_own_files(),
        )
        if make_logger is not None:
            trainer.logger = make_logger(save_dir=folder.path)

    # Where the best weights lie, the training had ended; what comes after it had not.
    has_ended = folder.best_checkpoint.exists() and best.read(folder.best_checkpoint, classifier)
    if not (has_ended and history.read(trainer)):
        teachers.label(data, values)
        classifier.loss.balance(data.epoch_class_counts())
        checkpoints.fit(trainer, classifier, data)
    best.restore(classifier)

    metrics = _finish(config, folder, trainer, classifier, data, history)
    log.info("folder: %s", os.path.relpath(folder.path))
    return metrics.get(config.monitor)


def _own_files() -> list[str]:
    """Return what no commit holds: keys of `conf/local` that settle the result, other folders."""
    keys = filter(settles_result, flatten(local_values()))
    sources = HydraConfig.get().runtime.config_sources
    folders = {source.path for source in sources if source.schema == "file"} - {str(conf_folder())}
    return [*(f"{key} of conf/local" for key in keys), *sorted(map(os.path.relpath, folders))]


def _resume(config: DictConfig) -> float | None:
    """Go on with the training that `resume` names, by its own configuration."""
    others = [text for text in HydraConfig.get().overrides.task if not text.startswith("resume=")]
    new = {text.partition("=")[0]: text for text in others}
    for key in new:
        if key not in MAY_DIFFER:
            raise FerlabError(
                f"resume={config.resume} goes on with the run's own configuration; "
                f"leave out {new[key]}"
            )
    # The first process alone looks: while it writes a folder the others would find another one.
    place = from_first("resume", lambda: str(find_begun(str(config.resume)).path))
    begun = RunFolder(Path(place))
    recorded = begun.recorded_config()
    check_recorded(recorded, str(begun.config), "the command that began it goes on with it")
    values = OmegaConf.create(recorded)
    for key in new:
        if key not in flatten(recorded):
            raise FerlabError(f"{begun.path} has no {key}; leave out {new[key]}")
        for dotted in MAY_DIFFER[key]:
            OmegaConf.update(values, dotted, OmegaConf.select(config, key))
    log.info("going on with %s", os.path.relpath(begun.path))
    with RunFolder(begun.path) as folder:
        try:
            return train(values, folder)
        except Interrupted as stop:
            again = [f"resume={os.path.relpath(begun.path)}", *others]
            raise Interrupted(str(stop), again) from None


def _finish(
    config: DictConfig,
    folder: RunFolder,
    trainer: L.Trainer,
    classifier: EmotionClassifier,
    data: FaceDataModule,
    history: History,
) -> dict[str, float]:
    """Judge the restored weights, write and say what came out, and return the metrics."""
    row = best_row(history.rows, config.monitor, MONITORS[config.monitor])
    if config.monitor in row:
        log.info("best epoch %d of %d, its weights restored", row["epoch"], len(history.rows))
    else:
        log.info("nothing validated, the weights of epoch %d, the last, are kept", row["epoch"])
    predictions = {
        split: predict(trainer, classifier, data, split)
        for split in JUDGED
        if len(data.rows(split))
    }
    metrics = {
        "epochs": len(history.rows),
        "best_epoch": int(row["epoch"]),
        "train/loss": row["train/loss"],
        "train/accuracy": row["train/accuracy"],
        **results.measure(predictions),
    }

    if not trainer.is_global_zero:
        return metrics
    images = data.store.digest_of("training")
    save_network(classifier.network, folder.model, classifier.test_time, images)
    write_predictions(predictions, folder.predictions)
    judged, predicted = list(predictions.items())[-1]
    run = f"Model {config.model.name}, {config.data.title}"
    title = f"{run}, {judged}"
    report = results.write_report(predicted, title, folder.report)
    curves = figures.draw_curves(history.rows, run, int(row["epoch"]))
    figures.save(curves, folder.report / "curves.png")
    if isinstance(trainer.logger, RunTensorBoard):
        matrix = figures.draw_confusion_matrix(predicted.confusion, title)
        trainer.logger.log_result(
            own_values(config),
            metrics,
            {f"{judged}/confusion": figures.to_image(matrix)},
        )
    write_json(folder.metrics, metrics)

    log.info("\n%s\n\n%s", report, results.describe(metrics))
    return metrics


def _describe_splits(data: FaceDataModule) -> str:
    """Return a table of the images per split and class."""
    counts = {name: data.store.class_counts(rows) for name, rows in data.rows_by_split().items()}
    added = np.array([data.augmentation.extra.get(emotion, 0) for emotion in EMOTIONS])
    counts = {"train": counts.pop("train"), "  + augmented": added, **counts}
    lines = [f"{'images':<16}{'all':>8}" + "".join(f"{emotion:>10}" for emotion in EMOTIONS)]
    lines += [
        f"{name:<16}{row.sum():>8}" + "".join(f"{count:>10}" for count in row)
        for name, row in counts.items()
    ]
    return "\n".join(lines)
