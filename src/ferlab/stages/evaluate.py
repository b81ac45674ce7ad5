"""`ferlab evaluate`: what a trained network, or several together, come to on the test images."""

import logging
import os
import sys
from collections.abc import Sequence

from omegaconf import DictConfig

from ferlab.checks import FerlabError
from ferlab.files import write_json
from ferlab.finding import model_folder
from ferlab.instantiate import plain
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.trainer import describe_device, make_trainer
from ferlab.networks.files import DESCRIPTION, load_network, read_description
from ferlab.reporting import results
from ferlab.runs import RunFolder
from ferlab.stages.entry import run_stage
from ferlab.stages.named import judged_networks, named_runs
from ferlab.stages.predict import predict
from ferlab.stages.recorded import data_title, recorded_data, recorded_value

log = logging.getLogger(__name__)


def main(overrides: Sequence[str] | None = None) -> int:
    """Run the stage with these overrides, or those of the command line; return the exit status."""
    return run_stage("evaluate", evaluate, sys.argv[1:] if overrides is None else overrides)


def evaluate(config: DictConfig, folder: RunFolder) -> None:
    """Judge the runs, several by the mean of their probabilities, and write what comes out."""
    values = plain(config)
    folder.check_configuration(values)
    runs = named_runs(config)
    fixed = judged_networks(config, runs)
    folder.take_unless_finished()
    if folder.recorded_metrics() is not None:
        folder.check_fixed(fixed)
        log.info("finished before, nothing to do: %s", os.path.relpath(folder.path))
        return
    predictor = _Predictor(config, folder)
    members = [predictor.predict(run) for run in runs]
    try:
        predictions = {"test": results.average([member["test"] for member in members])}
    except ValueError:
        raise FerlabError(
            "these runs have different test images; name some for all of them with data.root=, "
            "and leave out runs with a data.limit"
        ) from None
    if all("val" in member for member in members):
        try:
            predictions["val"] = results.average([member["val"] for member in members])
        except ValueError:
            log.info("val is left out: these runs were validated on different images")

    metrics = results.measure(predictions)
    folder.open(
        values,
        {
            **fixed,
            "data": predictor.data_digest,
            "runs": ", ".join(os.path.relpath(run.path) for run in runs),
            "precision": predictor.trainer.precision,
        },
        device=describe_device(predictor.trainer),
    )
    results.write_predictions(predictions, folder.predictions)
    kind = "Model" if len(runs) == 1 else "Ensemble of"
    title = f"{kind} {', '.join(predictor.names)}, {predictor.title}, test"
    report = results.write_report(predictions["test"], title, folder.report)
    write_json(folder.metrics, metrics)
    log.info("\n%s\n\n%s", report, results.describe(metrics))
    log.info("folder: %s", os.path.relpath(folder.path))


class _Predictor:
    """Predicts run after run, on the same device.

    Attributes:
        trainer: of the device that predicts.
        names: the models' so far.
        data_digest: of the store that was predicted last.
        title: of these data.
    """

    def __init__(self, config: DictConfig, folder: RunFolder) -> None:
        self._config = config
        self.names: list[str] = []
        self.data_digest = self.title = ""
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
        data = recorded_data(self._config, recorded, run.config)
        self.names.append(network.spec.name)
        self.data_digest, self.title = data.store.digest, data_title(self._config, recorded)
        views = (
            self._config.augment.test_time,
            recorded_value(recorded, "augment", "test_time"),
            read_description(place / DESCRIPTION).test_time,
        )
        test_time = next(view for view in views if view is not None)
        log.info("run     %s, test time: %s", os.path.relpath(run.path), test_time)
        if not len(data.test_rows):
            raise FerlabError("there are no test images; name other data with data.root=")
        classifier = EmotionClassifier(network, test_time=test_time)
        splits = ["test"]
        known = recorded and run.recorded_environment().get("data") == self.data_digest
        if known and len(data.judged_rows("val")):
            splits.append("val")
        return {split: predict(self.trainer, classifier, data, split) for split in splits}
