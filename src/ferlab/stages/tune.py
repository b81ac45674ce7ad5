"""`ferlab tune`: trainings that differ in a few values, chosen by Optuna; the best as a recipe."""

import gc
import logging
import os
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import optuna
import torch
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from ferlab.checks import FerlabError, check_integer
from ferlab.data.store import ImageStore
from ferlab.distillation.distil import Teachers, check_same_teachers
from ferlab.files import write_json, write_text
from ferlab.instantiate import plain
from ferlab.keys import digest, flatten
from ferlab.learning.callbacks import Divergence
from ferlab.learning.metrics import MONITORS
from ferlab.learning.trainer import describe_device
from ferlab.reporting.search_page import write_search_page
from ferlab.reporting.trials import Trials, best_epoch, describe_trial
from ferlab.running.compose import make_classifier, make_configured_trainer, make_data
from ferlab.running.entry import explained, run_stage
from ferlab.running.recipe import training_commands, write_recipe
from ferlab.running.recorded import check_same_data
from ferlab.running.split import validates
from ferlab.runs import RunFolder
from ferlab.search.epochs import EpochReport, StopOnSignal
from ferlab.search.space import parse_space
from ferlab.search.study import Search, make_pruner, n_begun

log = logging.getLogger(__name__)


def main(overrides: Sequence[str]) -> int:
    """Run the stage with these overrides; return the exit status."""
    OmegaConf.register_new_resolver("digest", _digest, replace=True)
    return run_stage("tune", tune, overrides, sweeps=False)


def tune(config: DictConfig, folder: RunFolder) -> float:
    """Carry out trials until there are `tune.trials`; return the best one's value.

    Further processes in the same folder take trials of the same study. No trial is judged on the
    test images.
    """
    values = plain(config)
    if config.resume is not None:
        raise FerlabError("tune has no resume; the command that began a study goes on with it")
    folder.check_configuration(values)
    n_trials = check_integer("tune.trials", config.tune.trials, at_least=1)
    recorded = folder.recorded_metrics()
    if recorded is not None and recorded.get("trials", 0) >= n_trials:
        check_same_data(config, folder)
        check_same_teachers(values, folder)
        if config.monitor not in recorded:
            raise FerlabError(f"{folder.metrics} is damaged (no {config.monitor}); delete it")
        log.info("finished before, nothing to do: %s", os.path.relpath(folder.path))
        return recorded[config.monitor]

    # What is wrong in the configuration is met here, before any image is read.
    if not validates(config):
        raise FerlabError(
            "tune chooses by validation, and data.val_fraction=0 leaves none; leave that out"
        )
    space = parse_space(values["tune"]["space"], flatten(_of_train(values)))
    pruner = make_pruner(
        config.tune.pruner, config.tune.startup, config.tune.warmup, config.trainer.max_epochs
    )
    classifier = make_classifier(config)
    teachers = Teachers(values, folder)
    data = make_data(config, classifier.network.input_size)
    trainer = make_configured_trainer(config, classifier.network, folder.path, [], [])
    log.info("device  %s, precision %s", describe_device(trainer), trainer.precision)
    teachers.check_data(data)
    folder.open(
        values,
        {
            "data": data.store.digest,
            "accelerator": trainer.strategy.root_device.type,
            "precision": trainer.precision,
            **teachers.fixed,
        },
        device=describe_device(trainer),
        shared=True,
    )
    direction = MONITORS[config.monitor]
    search = Search(folder.path, space, direction, pruner, config.tune.startup, config.seed)
    with StopOnSignal() as stop:
        objective = _Objective(config, folder, data.store, teachers, search, stop)
        for trial in search.trials(n_trials, objective, meanwhile=stop.check):
            log.info("%s", describe_trial(trial, direction))
            gc.collect()  # Lightning's circles hold the network and its data
            stop.check()
    return _finish(config, folder, search.study, trainer)


class _Objective:
    """What a trial's values come to: the best epoch of a training, judged on validation alone."""

    def __init__(
        self,
        config: DictConfig,
        folder: RunFolder,
        store: ImageStore,
        teachers: Teachers,
        search: Search,
        stop: StopOnSignal,
    ) -> None:
        self._config = config
        self._folder = folder
        self._store = store
        self._teachers = teachers
        self._search = search
        self._stop = stop
        self._threads = torch.get_num_threads()

    def __call__(self, trial: optuna.Trial) -> float:
        torch.set_num_threads(max(1, self._threads // self._search.n_running()))
        try:
            return self._best_epoch(trial, _varied(self._config, trial.params))
        except Exception as error:
            if (told := explained(error)) is error:
                raise
            raise told from error

    def _best_epoch(self, trial: optuna.Trial, config: DictConfig) -> float:
        classifier = make_classifier(config)
        data = make_data(config, classifier.network.input_size, self._store)
        report = EpochReport(trial, config.monitor)
        trainer = make_configured_trainer(
            config, classifier.network, self._folder.path, [Divergence()], [report, self._stop]
        )
        classifier.loss.balance(data.epoch_class_counts())
        self._teachers.label(data, plain(config))
        trainer.fit(classifier, datamodule=data)
        return report.best


def _finish(
    config: DictConfig, folder: RunFolder, study: optuna.Study, trainer: L.Trainer
) -> float:
    """Write and say what came out, and return the best trial's value."""
    metric = config.monitor
    trials = Trials(study.get_trials(deepcopy=False), metric, MONITORS[metric])
    write_text(folder.path / "trials.csv", trials.to_csv())
    log.info("\n%s\n", trials.format(n=10))
    if not trials.counts["complete"]:
        raise FerlabError(
            f"no trial came to its end, {os.path.relpath(folder.path)}/trials.csv says why; "
            "change tune.space"
        )
    best = study.best_trial
    n_trials = n_begun(trials.trials)
    title = f"Search: Model {config.model.name}, {config.data.title}, trials: {n_trials}"
    write_search_page(folder.path / "index.html", title, study, trials)
    recipe = folder.path / "best.yaml"
    device = describe_device(trainer)
    found = _varied(config, best.params)
    comment = _comment(found, recipe, best, n_trials, trials.describe_counts(), device)
    write_text(recipe, write_recipe(found, comment))
    epoch, value = best_epoch(best, MONITORS[metric])
    write_json(
        folder.metrics,
        {
            "trials": n_trials,
            **trials.counts,
            "best_trial": best.number,
            "epochs": len(best.intermediate_values),
            "best_epoch": epoch,
            metric: value,
        },
    )
    log.info("plots:  %s", os.path.relpath(folder.path / "index.html"))
    commands = " && ".join(training_commands(found, recipe, "tuned"))
    log.info("recipe: %s; train it with\n  %s", os.path.relpath(recipe), commands)
    return value


def _comment(
    config: DictConfig, recipe: Path, best: FrozenTrial, n_trials: int, counts: str, device: str
) -> list[str]:
    """Return what the recipe opens with: how to train it, what it reached, and how it was found."""
    epoch, value = best_epoch(best, MONITORS[config.monitor])
    assert best.duration is not None
    story = (
        f"{config.monitor} {value:.4f} at epoch {epoch} of {len(best.intermediate_values)}, on "
        f"{config.data.title}, in {best.duration.total_seconds():.1f} s on {device}: trial "
        f"number {best.number}, trials {n_trials} ({counts}). The validation images chose it out "
        "of all these, so expect less on others; test images were not looked at. Found with:"
    )
    return [
        *training_commands(config, recipe, "tuned"),
        *textwrap.wrap(story, 98),
        shlex.join(["ferlab", "tune", *sys.argv[1:]]),
    ]


def _varied(config: DictConfig, params: Mapping[str, Any]) -> DictConfig:
    """Return train's configuration with a trial's values; what interpolates them follows."""
    varied = OmegaConf.masked_copy(config, list(_of_train(config)))
    for key, value in params.items():
        OmegaConf.update(varied, key, value)
    return varied


def _of_train(config: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: config[key] for key in config if key != "tune"}


def _digest(*, _root_: DictConfig) -> str:
    """Return what the name of the study's folder ends in: another configuration, another study."""
    return digest(
        plain(OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key != "hydra"]))
    )
