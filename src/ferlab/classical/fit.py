"""scikit-learn classifiers on features: checked, fitted, judged, kept."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedGroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skops.io.exceptions import UntrustedTypesFoundException

from ferlab.checks import FerlabError, check_boolean, check_integer, check_keys
from ferlab.classical.kept import Features
from ferlab.emotions import EMOTIONS
from ferlab.files import replacing

TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)
"""What a .skops may hold beside the types that skops trusts: trees, at whose nodes `_check_trees`
looks, and numbers that a multi-layer perceptron was fitted with."""


@dataclass(frozen=True)
class ClassifierSpec:
    """A classifier and how it is fitted, checked before any image is read.

    Attributes:
        name: in the configuration, for messages.
        estimator: scikit-learn's, not fitted.
        standardise: whether each feature is brought to mean 0 and deviation 1 first.
        search: values by the name of a parameter; all combinations are tried by cross-validation
            on the training images, and the most accurate is fitted. Empty: no search.
        folds: of the cross-validation, >= 2.
        seed: of the folds.

    Raises:
        FerlabError: not a classifier, or a parameter that it does not have or does not allow.
    """

    name: str
    estimator: Any
    standardise: bool = False
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        place = f"classifier.{self.name}"
        if not isinstance(self.estimator, BaseEstimator) or not is_classifier(self.estimator):
            raise FerlabError(f"{place} must be a classifier of scikit-learn's kind")
        if getattr(self.estimator, "probability", False) is True:
            raise FerlabError(
                f"{place}.probability must be false: such probabilities contradict the classes "
                "that the classifier predicts"
            )
        check_boolean(f"{place}.standardise", self.standardise)
        check_integer("folds", self.folds, at_least=2)
        if not isinstance(self.search, Mapping):
            raise FerlabError(
                f"search.{self.name} must map parameters to lists of values; got {self.search!r}"
            )
        check_keys(f"search.{self.name}", self.search, self.estimator.get_params())
        for parameter, values in self.search.items():
            if not isinstance(values, list | tuple) or not values:
                raise FerlabError(
                    f"search.{self.name}.{parameter} must be a list of values; got {values!r}"
                )
        checks = hasattr(self.estimator, "_parameter_constraints")  # those of others do not
        for combination in ParameterGrid(dict(self.search)) if checks else ():
            try:
                # scikit-learn would say so when it fits, long after the start
                clone(self.estimator).set_params(**combination)._validate_params()
            except (ValueError, TypeError) as error:
                raise FerlabError(f"{place}: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline, and what the search for its parameters came to.

    Attributes:
        pipeline: features (N, D) to classes.
        tried: of each combination its `parameters`, its mean `accuracy` over the folds and the
            `deviation` of that, the best first; empty without a search.
    """

    pipeline: Pipeline
    tried: list[dict[str, Any]]

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, 7); one-hot where the classifier names classes alone."""
        if self.is_probabilistic:
            return np.asarray(self.pipeline.predict_proba(values), dtype=np.float32)
        predicted: NDArray[np.int64] = self.pipeline.predict(values)
        return np.eye(len(EMOTIONS), dtype=np.float32)[predicted]

    @property
    def is_probabilistic(self) -> bool:
        """Whether the classifier gives probabilities."""
        return hasattr(self.pipeline, "predict_proba")


def fit(spec: ClassifierSpec, train: Sequence[Features]) -> Fitted:
    """Return the classifier of `spec`, fitted on these features together.

    In a search, identical images stay on one side of each fold, and so do the images that were
    made from one original.

    Raises:
        FerlabError: a class has no image, or scikit-learn refuses the data.
    """
    values = np.concatenate([features.values for features in train])
    labels = np.concatenate([features.labels for features in train])
    counts = np.bincount(labels, minlength=len(EMOTIONS))
    if not counts.all():
        missing = ", ".join(EMOTIONS[label] for label in np.flatnonzero(counts == 0))
        raise FerlabError(f"train has no image of {missing}; a classifier needs all seven classes")
    scale = StandardScaler() if spec.standardise else "passthrough"
    pipeline = Pipeline([("scale", scale), ("classifier", clone(spec.estimator))])
    try:
        if not spec.search:
            return Fitted(pipeline.fit(values, labels), [])
        grid = {f"classifier__{name}": list(tried) for name, tried in spec.search.items()}
        folds = StratifiedGroupKFold(spec.folds, shuffle=True, random_state=spec.seed)
        search = GridSearchCV(pipeline, grid, cv=folds, scoring="accuracy", error_score="raise")
        groups = np.concatenate([features.hashes for features in train])
        search.fit(values, labels, groups=groups)
    except ValueError as error:
        raise FerlabError(f"classifier.{spec.name}: {str(error).splitlines()[0]}") from error
    return Fitted(search.best_estimator_, _tried(search.cv_results_))


def save_pipeline(pipeline: Pipeline, path: Path) -> None:
    """Write a fitted pipeline as a .skops file, which carries no code; whole or not at all."""
    with replacing(path) as partial:
        skops.io.dump(pipeline, partial, compression=zipfile.ZIP_DEFLATED)


def load_pipeline(path: Path) -> Pipeline:
    """Return the pipeline of a .skops file, which may come from somebody else.

    Raises:
        FerlabError: there is no such file, it is damaged, or it holds a type that is neither
            trusted by skops nor one of TRUSTED.
    """
    try:
        pipeline = skops.io.load(path, trusted=list(TRUSTED))
        if not isinstance(pipeline, Pipeline):
            raise ValueError("no pipeline")
        _check_trees(pipeline[-1])
    except UntrustedTypesFoundException:
        foreign = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED)
        raise FerlabError(
            f"{path} holds {', '.join(sorted(foreign))}, which could run anything; where you know "
            "who fitted it, skops.io.load takes that among trusted"
        ) from None
    except FileNotFoundError as error:
        raise FerlabError(f"there is no {path}; name the .skops of a fitted classifier") from error
    except Exception as error:  # a damaged file fails anywhere in skops
        raise FerlabError(f"{path} is damaged; fit the classifier again") from error
    return pipeline


def _check_trees(classifier: Any) -> None:
    """Raise ValueError where a tree's nodes point outside: scikit-learn follows them blindly."""
    for estimator in [classifier, *np.ravel(getattr(classifier, "estimators_", []))]:
        if (tree := getattr(estimator, "tree_", None)) is None:
            continue
        inner = np.flatnonzero(tree.children_left != -1)
        children = np.stack([tree.children_left[inner], tree.children_right[inner]])
        feature = tree.feature[inner]
        if (
            (children <= inner).any()  # scikit-learn numbers a node before its children
            or (children >= tree.node_count).any()
            or (feature < 0).any()
            or (feature >= classifier.n_features_in_).any()
        ):
            raise ValueError("a tree's nodes point outside of it")


def _tried(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return scikit-learn's results of a search as plain values, the best first."""
    tried = [
        {
            "parameters": {
                name.removeprefix("classifier__"): value for name, value in parameters.items()
            },
            "accuracy": float(accuracy),
            "deviation": float(deviation),
        }
        for parameters, accuracy, deviation in zip(
            results["params"], results["mean_test_score"], results["std_test_score"], strict=True
        )
    ]
    return sorted(tried, key=lambda one: -one["accuracy"])
