"""Classifiers on features: fitted as scikit-learn fits them, kept without code."""

import operator
from pathlib import Path

import numpy as np
import pytest
import skops.io
from mistakes import mistake_of
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

from ferlab.classical.fit import ClassifierSpec, fit, load_pipeline, save_pipeline
from ferlab.classical.kept import Features

ESTIMATORS = {
    "svm": SVC(kernel="linear"),
    "random_forest": RandomForestClassifier(5, random_state=0),
    "linear_svc": LinearSVC(),
    "logistic_regression": LogisticRegression(),
    "perceptron": MLPClassifier((4,), tol=1, random_state=0),
}


def make_features(n_per_class=6, classes=range(7), seed=0):
    """Return features (N, 5) in which the classes overlap."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.array(classes, dtype=np.int64), n_per_class)
    centres = np.random.default_rng(99).normal(size=(7, 5))
    values = (centres[labels] + random.normal(size=(len(labels), 5))).astype(np.float32)
    return Features(
        values=values,
        probabilities=np.full((len(labels), 7), 1 / 7, np.float32),
        labels=labels,
        names=np.array([f"{row}.png" for row in range(len(labels))]),
        hashes=np.array([f"{row // 2:032x}" for row in range(len(labels))], dtype="S32"),
        parts={},
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_kept_classifier_predicts_as_before(name):
    train, test = make_features(), make_features(seed=1)
    fitted = fit(ClassifierSpec(name, ESTIMATORS[name]), [train])
    save_pipeline(fitted.pipeline, Path("kept.skops"))
    loaded = load_pipeline(Path("kept.skops"))
    assert np.array_equal(loaded.predict(test.values), fitted.pipeline.predict(test.values))
    if fitted.is_probabilistic:
        assert np.array_equal(
            loaded.predict_proba(test.values), fitted.pipeline.predict_proba(test.values)
        )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_most_probable_class_is_scikit_learns_prediction(name):
    train, test = make_features(), make_features(seed=1)
    fitted = fit(ClassifierSpec(name, ESTIMATORS[name]), [train])
    expected = ESTIMATORS[name].__class__(**ESTIMATORS[name].get_params())
    expected.fit(train.values, train.labels)
    probabilities = fitted.probabilities(test.values)
    assert np.array_equal(probabilities.argmax(axis=1), expected.predict(test.values))
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_standardised_features_have_mean_0_and_deviation_1():
    train = make_features()
    scale = fit(ClassifierSpec("svm", SVC(), standardise=True), [train]).pipeline["scale"]
    scaled = scale.transform(train.values)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(scaled.std(axis=0), 1, atol=1e-5)


def test_several_features_are_fitted_together():
    both = fit(ClassifierSpec("svm", SVC()), [make_features(seed=0), make_features(seed=1)])
    assert both.pipeline["classifier"].shape_fit_ == (84, 5)


def test_a_search_takes_the_most_accurate_combination():
    spec = ClassifierSpec("svm", SVC(), search={"C": [1e-6, 1.0], "kernel": ["linear"]}, folds=2)
    fitted = fit(spec, [make_features()])
    assert [one["parameters"]["C"] for one in fitted.tried] == [1.0, 1e-6]
    assert fitted.tried[0]["accuracy"] > fitted.tried[1]["accuracy"]
    assert fitted.pipeline["classifier"].C == 1.0


def test_a_class_without_images_is_refused():
    line = mistake_of(
        fit, ClassifierSpec("svm", SVC()), [make_features(classes=[0, 1, 2, 3, 4, 6])]
    )
    assert "train has no image of sad" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": SVC(C=-1)}, "classifier.svm: The 'C' parameter of SVC must be"),
        ({"estimator": object()}, "classifier.svm must be a classifier"),
        ({"standardise": "yes"}, "classifier.svm.standardise must be true or false; got 'yes'"),
        ({"search": {"CC": [1]}}, "search.svm has no 'CC', did you mean 'C'?"),
        ({"search": {"C": 1}}, "search.svm.C must be a list of values; got 1"),
        ({"search": {"C": [1.0, -1]}}, "classifier.svm: The 'C' parameter of SVC must be"),
        ({"search": 5}, "search.svm must map parameters to lists of values; got 5"),
        ({"estimator": SVC(probability=True)}, "classifier.svm.probability must be false"),
        ({"folds": 1}, "folds must be an integer >= 2; got 1"),
    ],
)
def test_a_wrong_spec_is_refused_before_it_is_fitted(arguments, message):
    assert message in mistake_of(
        lambda: ClassifierSpec(**{"name": "svm", "estimator": SVC(), **arguments})
    )


class Nearest(ClassifierMixin, BaseEstimator):
    """Of scikit-learn's kind, but not its own: it declares no constraints."""

    def fit(self, values, labels):
        self.classes_ = np.unique(labels)
        self.centres_ = np.stack([values[labels == one].mean(axis=0) for one in self.classes_])
        return self

    def predict(self, values):
        return self.classes_[((values[:, None] - self.centres_) ** 2).sum(axis=2).argmin(axis=1)]


def test_another_librarys_classifier_is_fitted():
    features = make_features()
    predicted = fit(ClassifierSpec("nearest", Nearest()), [features]).pipeline.predict(
        features.values
    )
    assert (predicted == features.labels).mean() > 0.5


def test_more_folds_than_images_are_refused():
    spec = ClassifierSpec("svm", SVC(), search={"C": [1.0]}, folds=50)
    assert "classifier.svm: " in mistake_of(fit, spec, [make_features()])


def test_a_kept_classifier_with_a_foreign_type_is_refused():
    fitted = fit(ClassifierSpec("svm", SVC()), [make_features()])
    fitted.pipeline.extra = operator.methodcaller("upper")
    skops.io.dump(fitted.pipeline, "foreign.skops")
    assert "foreign.skops holds operator.methodcaller" in mistake_of(
        load_pipeline, Path("foreign.skops")
    )


def test_a_forest_whose_nodes_point_outside_is_refused():
    fitted = fit(
        ClassifierSpec("forest", RandomForestClassifier(3, random_state=0)), [make_features()]
    )
    tree = fitted.pipeline["classifier"].estimators_[1].tree_
    state = tree.__getstate__()
    state["nodes"]["left_child"][0] = 10**6
    tree.__setstate__(state)
    save_pipeline(fitted.pipeline, Path("forest.skops"))
    assert "forest.skops is damaged" in mistake_of(load_pipeline, Path("forest.skops"))


def test_what_is_no_kept_pipeline_is_refused():
    Path("junk.skops").write_bytes(b"junk")
    skops.io.dump(SVC(), "bare.skops")
    assert "junk.skops is damaged" in mistake_of(load_pipeline, Path("junk.skops"))
    assert "bare.skops is damaged" in mistake_of(load_pipeline, Path("bare.skops"))
    assert "there is no none.skops" in mistake_of(load_pipeline, Path("none.skops"))
