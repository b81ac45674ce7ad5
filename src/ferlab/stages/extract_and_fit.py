"""`ferlab extract_and_fit`: features of trained networks in, fitted classifiers out."""

import logging
import os
from collections.abc import Sequence

from omegaconf import DictConfig

from ferlab.files import write_json, write_text
from ferlab.finding import model_name
from ferlab.instantiate import plain
from ferlab.learning.trainer import describe_device, make_trainer
from ferlab.reporting.extractors import ALONE, extractors_to_csv, format_extractors
from ferlab.running.classifiers import folder_names, make_specs
from ferlab.running.entry import run_stage
from ferlab.running.fits import Fits
from ferlab.running.named import judged_networks, named_runs
from ferlab.running.recorded import is_finished, join_digests
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


def main(overrides: Sequence[str]) -> int:
    """Run the stage with these overrides; return the exit status."""
    return run_stage("extract_and_fit", extract_and_fit, overrides)


def extract_and_fit(config: DictConfig, folder: RunFolder) -> None:
    """Fit the classifiers on the features of each run, and write the report's Table 3.

    Features and classifiers go into the runs; what is there already is not made again.
    """
    values = plain(config)
    folder.check_configuration(values)
    specs = make_specs(values)
    folders = folder_names(values)
    runs = named_runs(config)
    fixed = judged_networks(config, runs)
    folder.take_unless_finished()
    if is_finished(config, folder, runs, fixed):
        return
    trainer = make_trainer(
        folder.path,
        accelerator=config.trainer.accelerator,
        precision="32-true",
        progress_bar=config.trainer.progress_bar,
    )
    log.info("device  %s, precision %s", describe_device(trainer), trainer.precision)
    judged: dict[str, dict[str, dict[str, float]]] = {}  # by network, classifier, metric
    data: dict[str, str] = {}  # what a heading says of them, by digest
    titles = set()
    for run, name in zip(runs, _names(runs), strict=True):
        fits = Fits(config, run, trainer.strategy.root_device)
        judged[name] = {spec.name: fits.fit_and_judge(spec, folders[spec.name]) for spec in specs}
        judged[name][ALONE] = fits.judge_network()
        data[fits.data.store.digest] = fits.judged_images
        titles.add(fits.title)

    folder.open(
        values,
        {
            **fixed,
            "data": join_digests(data),
            "runs": ", ".join(os.path.relpath(run.path) for run in runs),
        },
        device=describe_device(trainer),
    )
    accuracies = {
        network: {classifier: metrics["test/accuracy"] for classifier, metrics in row.items()}
        for network, row in judged.items()
    }
    title = f"Table 3: accuracy on {'; '.join(dict.fromkeys(data.values()))}"
    cites = titles == {"FER-2013"}
    n_images = {network: int(row[ALONE]["test/images"]) for network, row in judged.items()}
    table = format_extractors(title, accuracies, n_images, cites)
    markdown = format_extractors(title, accuracies, n_images, cites, form="markdown")
    write_text(folder.report / "table_3.txt", f"{table}\n")
    write_text(folder.report / "table_3.md", f"{markdown}\n")
    write_text(folder.report / "table_3.csv", extractors_to_csv(accuracies, cites))
    write_json(
        folder.metrics,
        {
            f"{network}/{classifier}/{metric}": value
            for network, row in judged.items()
            for classifier, metrics in row.items()
            for metric, value in metrics.items()
        },
    )
    log.info("\n%s\n", table)
    log.info("folder: %s", os.path.relpath(folder.path))


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """Return the names of the runs' models; their folders where two have the same."""
    names = [model_name(run) for run in runs]
    return names if len(set(names)) == len(names) else [os.path.relpath(run.path) for run in runs]
