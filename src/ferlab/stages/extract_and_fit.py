"""`ferlab extract_and_fit`: features of trained networks in, fitted classifiers out."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import hydra
from omegaconf import DictConfig

from ferlab.checks import FerlabError, check_integer, check_keys
from ferlab.classical.fit import Recipe
from ferlab.files import write_json, write_text
from ferlab.finding import model_name
from ferlab.instantiate import instantiate, plain
from ferlab.keys import flatten
from ferlab.learning.trainer import describe_device, make_trainer
from ferlab.reporting.extractors import ALONE, extractors_to_csv, format_extractors
from ferlab.running.entry import run_stage
from ferlab.running.fits import Fits
from ferlab.running.known import without_local
from ferlab.running.named import judged_networks, named_runs
from ferlab.running.recorded import is_finished, join_digests
from ferlab.running.sweep import folder_name
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


def main(overrides: Sequence[str] | None = None) -> int:
    """Run the stage with these overrides, or those of the command line; return the exit status."""
    arguments = sys.argv[1:] if overrides is None else overrides
    return run_stage("extract_and_fit", extract_and_fit, arguments)


def extract_and_fit(config: DictConfig, folder: RunFolder) -> None:
    """Fit the classifiers on the features of each run, and write the report's Table 3.

    Features and classifiers go into the runs; what is there already is not made again.
    """
    values = plain(config)
    folder.check_configuration(values)
    recipes = make_recipes(values)
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
        judged[name] = {
            recipe.name: fits.fit_and_judge(recipe, folders[recipe.name]) for recipe in recipes
        }
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


def make_recipes(values: Mapping[str, Any]) -> list[Recipe]:
    """Return the classifiers that are named, checked before any image is read.

    Raises:
        FerlabError: an unknown name, or a parameter that a classifier does not have or allow.
    """
    names, known, search = values["classifiers"], values["classifier"], values["search"]
    if not isinstance(names, list) or not names:
        raise FerlabError(f"classifiers must be a list such as [svm,random_forest]; got {names!r}")
    check_keys("classifier", names, known)
    if not isinstance(search, dict):
        raise FerlabError(f"search must map classifiers to parameters; got {search!r}")
    check_keys("search", search, known)
    seed = check_integer("seed", values["seed"], at_least=0, at_most=2**32 - 1)
    recipes = []
    for name in dict.fromkeys(names):
        if not isinstance(known[name], Mapping) or "_target_" not in known[name]:
            raise FerlabError(
                f"classifier.{name} must name a class with _target_; got {known[name]!r}; to leave "
                "it out, name the others with classifiers=[…]"
            )
        node = dict(known[name])
        standardise = node.pop("standardise", False)
        estimator = instantiate(node, f"classifier.{name}")
        recipes.append(
            Recipe(name, estimator, standardise, search.get(name, {}), values["folds"], seed)
        )
    return recipes


def folder_names(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the name of each classifier's folder: its own, and what it has out of the ordinary.

    So the jobs of a sweep keep their results apart: `svm`, `svm-C-0.1`, `svm-augmented-True`. What
    a person's own `conf/local` changes of a shipped classifier is out of the ordinary, too.
    """
    shipped = plain(hydra.compose("extract_and_fit", without_local()))
    own = plain(hydra.compose("extract_and_fit"))
    names = {}
    for name in values["classifiers"]:
        ordinary = shipped if name in shipped["classifier"] else own
        usual, wanted = _settings(ordinary, name), _settings(values, name)
        if name not in ordinary["classifier"]:  # a person's own, by its name
            usual = {**usual, "_target_": wanted["_target_"]}
        usual = {"folds": ordinary["folds"], **usual}
        differing = [f"{key}-{value}" for key, value in wanted.items() if value != usual.get(key)]
        names[name] = folder_name("".join(map(_typeable, "-".join([name, *differing]))))
    return names


def _settings(values: Mapping[str, Any], name: str) -> dict[str, object]:
    """Return what a person can choose for this classifier, by names that fit into a folder's."""
    search = values["search"].get(name, {})
    return {
        **flatten(values["classifier"].get(name, {})),
        **values["features"],
        **{f"search-{key}": "_".join(map(str, tried)) for key, tried in search.items()},
        **({"folds": values["folds"]} if search else {}),
    }


def _typeable(letter: str) -> str:
    return letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_"


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """Return the names of the runs' models; their folders where two have the same."""
    names = [model_name(run) for run in runs]
    return names if len(set(names)) == len(names) else [os.path.relpath(run.path) for run in runs]
