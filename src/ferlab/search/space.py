"""What a search may vary, read from its configuration and checked before anything is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ferlab.checks import FerlabError, check_boolean, check_keys, check_number, did_you_mean
from ferlab.keys import settles_result

_RANGE = ("low", "high", "log", "step")
_KEYS = (*_RANGE, "choices")

_JUDGES = ("data", "seed", "monitor")
"""What decides on which images, and by which metric, a trial is judged."""

_UNREAD = ("augment.test_time", "distillation.teachers")
"""What no trial's value depends on, beside what changes no result: validation is judged by one view
of each image, and the teachers label the training images for all trials alike."""


def parse_space(
    space: Mapping[str, Any], config: Mapping[str, object]
) -> dict[str, BaseDistribution]:
    """Return the distribution of each key that the search varies.

    A key's value is `{low, high}`, both within the range, with `log: true` or `step` where wanted,
    or `{choices}`, a list of numbers, words, truth values or null. A range has the type of the
    configuration's present value: whole numbers where that and both bounds are whole. A key may be
    written nested or dotted; null in place of its value leaves it out.

    Args:
        space: by key of the configuration.
        config: the leaves of the configuration that is varied, by dotted key.

    Raises:
        FerlabError: nothing is varied, or a key or its range cannot be.
    """
    if not isinstance(space, Mapping):
        raise FerlabError(f"tune.space must map keys to ranges; got {space!r}")
    parsed = {key: _distribution(key, node, config) for key, node in _leaves(space)}
    if not parsed:
        raise FerlabError(
            "tune.space is empty; add a key with +tune.space.optimizer.lr='{low: 1e-4, high: 1e-2}'"
        )
    return parsed


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each varied key, dotted, and what is said of it."""
    for key, child in node.items():
        name = f"{prefix}{key}"
        if isinstance(child, Mapping) and not child.keys() & set(_KEYS):
            yield from _leaves(child, f"{name}.")
        elif child is not None:
            yield name, child


def _distribution(key: str, node: Any, config: Mapping[str, object]) -> BaseDistribution:
    place = f"tune.space.{key}"
    if key not in config:
        raise FerlabError(
            f"tune.space names {key!r}, which the configuration of train does not have"
            f"{did_you_mean(key, config)}; `ferlab train --cfg job` shows its keys"
        )
    if key.split(".")[0] in _JUDGES and key != "data.batch_size":
        raise FerlabError(
            f"tune.space cannot vary {key!r}: all trials are judged on the same images by the same "
            "metric; leave it out"
        )
    if not settles_result(key) or key.startswith(_UNREAD):
        raise FerlabError(
            f"tune.space cannot vary {key!r}: no trial's value depends on it; leave it out"
        )
    if not isinstance(node, Mapping):
        raise FerlabError(f"{place} must be {{low, high}} or {{choices}}; got {node!r}")
    check_keys(place, node, _KEYS)
    if "choices" in node:
        return _choices(place, node)
    return _range(place, node, config[key])


def _choices(place: str, node: Mapping[str, Any]) -> BaseDistribution:
    choices = node["choices"]
    if len(node) > 1:
        raise FerlabError(f"{place} has both choices and a range; name one of them")
    if not isinstance(choices, list) or not choices:
        raise FerlabError(f"{place}.choices must be a list such as [64, 128]; got {choices!r}")
    for choice in choices:
        if choice is not None and not isinstance(choice, bool | int | float | str):
            raise FerlabError(
                f"{place}.choices must be numbers, words, true, false or null; got {choice!r}"
            )
    return CategoricalDistribution(choices)


def _range(place: str, node: Mapping[str, Any], present: object) -> BaseDistribution:
    for bound in ("low", "high"):
        if bound not in node:
            raise FerlabError(f"{place} lacks {bound!r}; a range is {{low, high}}")
    log = check_boolean(f"{place}.log", node.get("log", False))
    low = check_number(f"{place}.low", node["low"], above=0 if log else None)
    high = check_number(f"{place}.high", node["high"], below=float("inf"))
    if not low < high:
        raise FerlabError(f"{place}: low must be below high; got {node['low']} and {node['high']}")
    step = node.get("step")
    if step is not None:
        check_number(f"{place}.step", step, above=0)
        if log:
            raise FerlabError(f"{place} has both log and step; leave one of them out")
        n_steps = (high - low) / step
        if abs(n_steps - round(n_steps)) > 1e-6:
            raise FerlabError(
                f"{place}: high must be low plus a whole number of steps; got {node['low']}, "
                f"{node['high']} and step {step}"
            )
    whole = all(isinstance(number, int) for number in (node["low"], node["high"], step or 1))
    if whole and not isinstance(present, float):
        return IntDistribution(node["low"], node["high"], log=log, step=step or 1)
    return FloatDistribution(low, high, log=log, step=step)
