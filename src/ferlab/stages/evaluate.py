"""`ferlab evaluate`: what a trained network, or several together, come to on the test images."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ferlab.checks import FerlabError
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import fer2013
from ferlab.files import write_json
from ferlab.finding import find_run, model_folder
from ferlab.instantiate import check_targets, instantiate
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.trainer import describe_device, make_trainer
from ferlab.networks.files import load_network
from ferlab.reporting import results
from ferlab.runs import RunFolder
from ferlab.stages.compose import plain
from ferlab.stages.entry import run_stage
from ferlab.stages.predict import predict

log = logging.getLogger(__name__)


def main(overrides: Sequence[str] | None = None) -> int:
    """Run the stage with these overrides, or those of the command line; return the exit status."""
    return run_stage("evaluate", evaluate, sys.argv[1:] if overrides is None else overrides)


def evaluate(config: DictConfig, folder: RunFolder) -> None:
    """Judge the runs, several by the mean of their probabilities, and write what comes out."""
    values = plain(config)
    folder.check_configuration(values)
    if folder.recorded_metrics() is not None:
        log.info("finished before, nothing to do: %s", os.path.relpath(folder.path))
        return
    named = values["run"] if isinstance(values["run"], list) else [values["run"]]
    if not named:
        raise FerlabError("run must name a folder, `latest`, a model, or several of these; got []")
    runs = [find_run(str(name), values["runs"]) for name in named]
    predictor = _Predictor(config, folder)
    members = [predictor.predict(run) for run in runs]
    predictions = {"test": results.average([member["test"] for member in members])}
    if all("val" in member for member in members):
        try:
            predictions["val"] = results.average([member["val"] for member in members])
        except ValueError:
            log.info("val is left out: these runs were validated on different images")

    folder.open(
        values,
        {
            "data": predictor.data_digest,
            "runs": ", ".join(os.path.relpath(run.path) for run in runs),
            "precision": predictor.trainer.precision,
        },
        device=describe_device(predictor.trainer),
    )
    metrics = results.measure(predictions)
    results.write_predictions(predictions, folder.predictions)
    kind = "Model" if len(runs) == 1 else "Ensemble of"
    title = f"{kind} {', '.join(predictor.names)}, test"
    report = results.write_report(predictions["test"], title, folder.report)
    write_json(folder.metrics, metrics)
    log.info("\n%s\n\n%s", report, results.describe(metrics))
    log.info("folder: %s", os.path.relpath(folder.path))


class _Predictor:
    """Predicts run after run, on the same device and, where they agree, from the same store.

    Attributes:
        trainer: of the device that predicts.
        names: the models' so far.
        data_digest: of the store that was predicted last.
    """

    def __init__(self, config: DictConfig, folder: RunFolder) -> None:
        self._config = config
        self.names: list[str] = []
        self.data_digest = ""
        self.trainer = make_trainer(
            folder.path,
            accelerator=config.trainer.accelerator,
            precision=config.trainer.precision,
            progress_bar=config.trainer.progress_bar,
        )

    def predict(self, run: RunFolder) -> dict[str, results.Predictions]:
        """Return the run's predictions for `test`, and for `val` where that is known."""
        place = model_folder(run)
        assert place is not None  # a run that was found has one
        network = load_network(place)
        recorded = run.recorded_config() if run.config.exists() else None
        data = self._data(recorded, run.config)
        self.names.append(network.spec.name)
        self.data_digest = data.store.digest
        test_time = self._config.augment.test_time
        if test_time is None:
            test_time = recorded["augment"]["test_time"] if recorded else "none"
        log.info("run     %s, test time: %s", os.path.relpath(run.path), test_time)
        if not len(data.test_rows):
            raise FerlabError("there are no test images; name other data with data.root=")
        classifier = EmotionClassifier(network, test_time=test_time)
        splits = ["test"]
        if recorded and run.recorded_environment().get("data") == self.data_digest:
            splits.append("val")
        return {split: predict(self.trainer, classifier, data, split) for split in splits}

    def _data(self, recorded: Mapping[str, Any] | None, place: Path) -> FaceDataModule:
        """Return the data that the run's configuration names, or that `data.root` does."""
        config = self._config.data
        elsewhere = partial(fer2013, config.root, config.cache)
        if recorded is None:
            return FaceDataModule(elsewhere, eval_batch_size=config.eval_batch_size)
        if not self._config.trust:
            check_targets(recorded.get("data"), str(place))
        try:
            data, source = recorded["data"], dict(recorded["data"]["source"])
            if config.cache is not None:
                source["cache"] = config.cache
            return FaceDataModule(
                elsewhere if config.root is not None else instantiate(source, "data.source"),
                eval_batch_size=config.eval_batch_size,
                val_fraction=data["val_fraction"],
                twins=data["twins"],
                blank=data["blank"],
                limit=data["limit"],
                seed=recorded["seed"],
            )
        except (KeyError, TypeError) as error:
            raise FerlabError(
                f"{place} is not the configuration of a run; it lacks {error}"
            ) from error
