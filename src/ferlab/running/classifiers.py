"""The scikit-learn classifiers that a configuration names, and the folders that they get."""

from collections.abc import Mapping
from typing import Any

import hydra

from ferlab.checks import FerlabError, check_integer, check_keys
from ferlab.classical.fit import ClassifierSpec
from ferlab.instantiate import instantiate, plain
from ferlab.keys import flatten
from ferlab.running.known import without_local
from ferlab.running.sweep import folder_name


def make_specs(values: Mapping[str, Any]) -> list[ClassifierSpec]:
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
    folds, specs = values["folds"], []
    for name in dict.fromkeys(names):
        if not isinstance(known[name], Mapping) or "_target_" not in known[name]:
            raise FerlabError(
                f"classifier.{name} must name a class with _target_; got {known[name]!r}; to leave "
                "it out, name the others with classifiers=[…]"
            )
        node = dict(known[name])
        standardise = node.pop("standardise", False)
        estimator = instantiate(node, f"classifier.{name}")
        specs.append(
            ClassifierSpec(name, estimator, standardise, search.get(name, {}), folds, seed)
        )
    return specs


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
