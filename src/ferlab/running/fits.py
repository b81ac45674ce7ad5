"""Classifiers that are fitted on one run's features, in the run's folder."""

import logging
import os
import time

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from ferlab.checks import FerlabError, check_boolean, counted
from ferlab.classical.features import EXTRA, EXTRACTED, Extractor
from ferlab.classical.fit import ClassifierSpec, Fitted, fit, save_pipeline
from ferlab.classical.progress import peak_memory, with_clock
from ferlab.files import write_json
from ferlab.finding import model_folder
from ferlab.instantiate import plain
from ferlab.networks.files import load_network
from ferlab.reporting import results
from ferlab.reporting.predictions import Predictions, write_predictions
from ferlab.running.recorded import data_title, is_of_run, recorded_data
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


class Fits:
    """Classifiers on the features of one run, judged on the run's own split.

    Args:
        config: the stage's.
        run: with a model.
        device: where the features are extracted.

    Attributes:
        data: the run's, or those of `data.root`.
        title: of the data, for headings.

    Raises:
        FerlabError: the run cannot be read, or its images or features cannot be used.
    """

    def __init__(self, config: DictConfig, run: RunFolder, device: torch.device) -> None:
        model = model_folder(run)
        network = load_network(model)
        recorded = run.known_config()
        augmented = check_boolean("features.augmented", config.features.augmented)
        self.data = recorded_data(config, recorded, run.config, augmented)
        self.title = data_title(config, recorded)
        if augmented and not self.data.augmentation.n_extra:
            raise FerlabError(
                f"features.augmented=true, but {run.path} does not say that it added any image; "
                "use features.augmented=false"
            )
        log.info("run     %s", os.path.relpath(run.path))
        extractor = Extractor(network, model, self.data, config.features.layer, device)
        if not len(self.data.rows("test")):
            raise FerlabError("there are no test images; name other data with data.root=")
        self._config = config
        self._run = run
        self._extractor = extractor
        self._name = network.spec.name
        self._fitted_on = ("train", EXTRA) if augmented else ("train",)
        # Of other data than the run's nobody knows which images it was trained on.
        validated = is_of_run(config, self.data, run) and len(self.data.rows("val"))
        self._judged_on = ("val", "test") if validated else ("test",)
        folder = run.path / "features" / str(extractor.layer)
        self._features = {
            split: extractor.features(split, folder, config.trainer.progress_bar)
            for split in dict.fromkeys((*EXTRACTED, *self._fitted_on))
            if split == EXTRA or len(self.data.rows(split))
        }

    @property
    def judged_images(self) -> str:
        """How many test images of which data there are, in words."""
        return f"{counted(len(self.data.rows('test')), 'test image')} of {self.title}"

    def judge_network(self) -> dict[str, float]:
        """Return the metrics of the network alone, in fp32 and from one view of each image."""
        return results.measure(
            {
                split: self._predictions(split, self._features[split].probabilities)
                for split in self._judged_on
            }
        )

    def fit_and_judge(self, spec: ClassifierSpec, name: str) -> dict[str, float]:
        """Return the metrics of its classifier, fitted now unless it was before.

        Args:
            spec: the classifier's.
            name: of its folder, in the run's `classical/`.

        Raises:
            FerlabError: the folder holds what was fitted otherwise, or the fit is refused.
        """
        place = self._run.path / "classical" / name
        with RunFolder(place, "fit", remedy="delete it and start again") as folder:
            settings = self._settings(spec)
            folder.check_configuration(settings)
            if folder.busy():
                log.info("%s: waiting for another process that is at it", spec.name)
            folder.take_unless_finished(wait=True)
            folder.check_configuration(settings)  # again: the other process may fit otherwise
            if (recorded := folder.recorded_metrics()) is not None:
                log.info("%s: fitted before, in %s", spec.name, os.path.relpath(place))
                return recorded
            fitted, predictions = self._fit(spec)
            metrics = results.measure(predictions)
            judged_on = {"data": self.data.store.digest, "title": self.title}
            folder.open(settings, judged_on, device="cpu")
            title = (
                f"{name} on features {self._extractor.layer} of Model {self._name}, {self.title}"
            )
            report = results.write_report(predictions["test"], f"{title}, test", folder.report)
            write_predictions(predictions, folder.predictions)
            save_pipeline(fitted.pipeline, place / f"{spec.name}.skops")
            if fitted.tried:
                write_json(place / "search.json", fitted.tried)
            write_json(folder.metrics, metrics)
            log.info("\n%s\n\n%s\n", report, results.describe(metrics))
        return metrics

    def _fit(self, spec: ClassifierSpec) -> tuple[Fitted, dict[str, Predictions]]:
        """Return the fitted classifier and what it predicts, and say what both took."""
        shown = self._config.trainer.progress_bar
        train = [self._features[split] for split in self._fitted_on]
        start = time.perf_counter()
        fitted = with_clock(f"{spec.name}: fitting", lambda: fit(spec, train), shown)
        log.info(
            "%s: fitted on %d images in %.1f s, peak memory %s",
            spec.name,
            sum(len(features.labels) for features in train),
            time.perf_counter() - start,
            peak_memory(),
        )
        if fitted.tried:
            best = fitted.tried[0]
            log.info("%s: best of the search %s", spec.name, best)
        start = time.perf_counter()
        predictions = with_clock(
            f"{spec.name}: predicting",
            lambda: {
                split: self._predictions(
                    split,
                    fitted.probabilities(self._features[split].values),
                    fitted.is_probabilistic,
                )
                for split in self._judged_on
            },
            shown,
        )
        log.info(
            "%s: predicted %d images in %.1f s, peak memory %s",
            spec.name,
            sum(len(predicted.labels) for predicted in predictions.values()),
            time.perf_counter() - start,
            peak_memory(),
        )
        return fitted, predictions

    def _settings(self, spec: ClassifierSpec) -> dict[str, object]:
        """Return all that the fitted classifier follows from."""
        values = plain(self._config)
        search = {"parameters": dict(spec.search), "folds": spec.folds, "seed": spec.seed}
        return {
            "classifier": {spec.name: values["classifier"][spec.name]},
            "search": search if spec.search else None,
            "features": {
                split: self._extractor.manifest(split)
                for split in (*self._fitted_on, *self._judged_on)
            },
        }

    def _predictions(
        self, split: str, probabilities: NDArray[np.float32], probabilistic: bool = True
    ) -> Predictions:
        features = self._features[split]
        return Predictions(
            names=features.names,
            images=self.data.store.images[self.data.rows(split)],
            labels=features.labels,
            probabilities=probabilities,
            parts=features.parts,
            probabilistic=probabilistic,
        )
