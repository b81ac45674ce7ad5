"""`ferlab evaluate`: what a trained network, or several together, come to on the test images."""

import logging
import os
from collections.abc import Sequence
from typing import NamedTuple

import lightning as L
from omegaconf import DictConfig

from ferlab.checks import FerlabError
from ferlab.files import write_json
from ferlab.finding import model_folder
from ferlab.instantiate import plain
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.trainer import describe_device, make_trainer
from ferlab.networks.files import DESCRIPTION, load_network, read_description
from ferlab.reporting import results
from ferlab.reporting.predictions import Predictions, average, write_predictions
from ferlab.running.entry import run_stage
from ferlab.running.named import judged_networks, named_runs
from ferlab.running.predict import predict
from ferlab.running.recorded import (
    data_title,
    is_finished,
    is_of_run,
    join_digests,
    recorded_data,
    recorded_value,
)
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


def main(overrides: Sequence[str]) -> int:
    """Run the stage with these overrides; return the exit status."""
    return run_stage("evaluate", evaluate, overrides)


def evaluate(config: DictConfig, folder: RunFolder) -> None:
    """Judge the runs, several by the mean of their probabilities, and write what comes out."""
    values = plain(config)
    folder.check_configuration(values)
    runs = named_runs(config)
    fixed = judged_networks(config, runs)
    folder.take_unless_finished()
    if is_finished(config, folder, runs, fixed):
        return
    trainer = make_trainer(
        folder.path,
        accelerator=config.trainer.accelerator,
        precision=config.trainer.precision,
        progress_bar=config.trainer.progress_bar,
    )
    members = [_predict(config, trainer, run) for run in runs]
    try:
        predictions = {"test": average([one.predictions["test"] for one in members])}
    except ValueError:
        raise FerlabError(
            "these runs have different test images; name some for all of them with data.root=, "
            "and leave out runs with a data.limit"
        ) from None
    if all("val" in one.predictions for one in members):
        try:
            predictions["val"] = average([one.predictions["val"] for one in members])
        except ValueError:
            log.info("val is left out: these runs were validated on different images")
    elif any("val" in one.predictions for one in members):
        log.info("val is left out: not all of these runs have validation images")

    metrics = results.measure(predictions)
    folder.open(
        values,
        {
            **fixed,
            "data": join_digests(one.data_digest for one in members),
            "title": members[-1].data_title,
            "runs": ", ".join(os.path.relpath(run.path) for run in runs),
            "precision": trainer.precision,
        },
        device=describe_device(trainer),
    )
    write_predictions(predictions, folder.predictions)
    kind = "Model" if len(runs) == 1 else "Ensemble of"
    title = f"{kind} {', '.join(one.name for one in members)}, {members[-1].data_title}, test"
    report = results.write_report(predictions["test"], title, folder.report)
    write_json(folder.metrics, metrics)
    log.info("\n%s\n\n%s", report, results.describe(metrics))
    log.info("folder: %s", os.path.relpath(folder.path))


class _Member(NamedTuple):
    """What one run predicts.

    Attributes:
        name: the model's.
        data_title: of its data, for headings.
        data_digest: of these.
        predictions: for `test`, and for `val` where that is known.
    """

    name: str
    data_title: str
    data_digest: str
    predictions: dict[str, Predictions]


def _predict(config: DictConfig, trainer: L.Trainer, run: RunFolder) -> _Member:
    place = model_folder(run)
    network = load_network(place)
    recorded = run.known_config()
    data = recorded_data(config, recorded, run.config)
    digest = data.store.digest
    views = (
        config.augment.test_time,
        recorded_value(recorded, "augment", "test_time"),
        read_description(place / DESCRIPTION).test_time,
    )
    test_time = next(view for view in views if view is not None)
    log.info("run     %s, test time: %s", os.path.relpath(run.path), test_time)
    if not len(data.rows("test")):
        raise FerlabError("there are no test images; name other data with data.root=")
    classifier = EmotionClassifier(network, test_time=test_time)
    known = recorded and is_of_run(config, data, run)
    splits = ["test", "val"] if known and len(data.rows("val")) else ["test"]
    predictions = {split: predict(trainer, classifier, data, split) for split in splits}
    return _Member(network.spec.name, data_title(config, recorded), digest, predictions)
