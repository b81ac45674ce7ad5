"""The data that a finished run's own configuration names."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ferlab.augment.targeted import TargetedAugmentation
from ferlab.checks import FerlabError, check_boolean
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import fer2013, find_local
from ferlab.instantiate import check_recorded, instantiate
from ferlab.running.compose import make_augmentation, make_data
from ferlab.running.split import split_arguments
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)


def recorded_data(
    config: DictConfig, recorded: Mapping[str, Any] | None, place: Path, augmented: bool = False
) -> FaceDataModule:
    """Return the data that a run's configuration names, or that `data.root` does.

    Args:
        config: the stage's, with `data.root`, `data.cache`, `data.eval_batch_size` and `trust`.
        recorded: the run's; None where it has none, as shipped weights.
        place: the file of it, for messages.
        augmented: whether the data have the augmentation of the run's first epoch too.

    Raises:
        FerlabError: `recorded` is not the configuration of a run, or names what ferlab does not
            ship without `trust`.
    """
    here = config.data
    elsewhere = partial(fer2013, here.root, here.cache)
    if recorded is None:
        return FaceDataModule(elsewhere, eval_batch_size=here.eval_batch_size)
    if not check_boolean("trust", config.trust):
        check_recorded({"data": recorded.get("data")}, str(place))
    try:
        source = dict(recorded["data"]["source"])
        if "cache" in source:
            source["cache"] = here.cache  # not the recorded one: nothing is written where it says
        return FaceDataModule(
            elsewhere if here.root is not None else instantiate(source, "data.source"),
            augmentation=_of_first_epoch(recorded) if augmented else None,
            eval_batch_size=here.eval_batch_size,
            **split_arguments(recorded),
            seed=recorded["seed"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FerlabError(f"{place} is not the configuration of a run ({error})") from error


def _of_first_epoch(recorded: Mapping[str, Any]) -> TargetedAugmentation:
    n_epochs = recorded["trainer"]["max_epochs"] or -1
    return make_augmentation(recorded["augment"]).of_epoch(0, n_epochs)


def is_finished(
    config: DictConfig, folder: RunFolder, runs: Sequence[RunFolder], fixed: Mapping[str, str]
) -> bool:
    """Return whether the stage has nothing to do in its folder, and say so.

    Args:
        config: the stage's.
        folder: its own.
        runs: that it judges.
        fixed: what a finished folder must be of beside these and their data.

    Raises:
        FerlabError: the folder is finished, of other networks or data.
    """
    if folder.recorded_metrics() is None:
        return False
    folder.check_fixed(fixed)
    check_same_data(config, folder, runs)
    log.info("finished before, nothing to do: %s", os.path.relpath(folder.path))
    return True


def check_same_data(config: DictConfig, folder: RunFolder, runs: Sequence[RunFolder] = ()) -> None:
    """Make sure that a finished folder is of the data that its configuration names today.

    Where there are none any more, or it does not say which it is of, it stays what it is. Data in
    kagglehub's cache, whose version is fixed, are not looked at: they could be downloaded for that.

    Args:
        config: the stage's.
        folder: finished.
        runs: those whose data the stage judges; without any the data are `config`'s own.

    Raises:
        FerlabError: they are others.
    """
    if "data" not in folder.recorded_environment():
        return
    reading = logging.getLogger("ferlab.data")
    level = reading.level
    reading.setLevel(logging.ERROR)  # a finished run has nothing to say of its data
    try:
        digests = [data.store.digest for data in _data_at_hand(config, runs)]
    except (FerlabError, OSError):
        return
    finally:
        reading.setLevel(level)
    if len(digests) == max(1, len(runs)):
        folder.check_fixed({"data": join_digests(digests)})


def join_digests(digests: Iterable[str]) -> str:
    """Return how a folder's `environment.json` names the data of several runs."""
    return ", ".join(dict.fromkeys(digests))


def _data_at_hand(config: DictConfig, runs: Sequence[RunFolder]) -> Iterator[FaceDataModule]:
    """Yield the data of `check_same_data` that need no download."""
    if not runs and ("root" not in config.data or find_local(config.data.root) is not None):
        yield make_data(config)
    for run in runs:
        recorded = run.known_config()
        own = recorded is not None and config.data.root is None
        named = (recorded or {}).get("data") or {} if own else config.data
        if "root" not in named or find_local(named["root"]) is not None:
            yield recorded_data(config, recorded, run.config)


def is_of_run(config: DictConfig, data: FaceDataModule, run: RunFolder) -> bool:
    """Return whether these are known to be the data that the run was trained on; say if not."""
    trained_on = run.recorded_environment().get("data")
    if trained_on not in (None, data.store.digest):
        changed = config.data.root is None
        log.info(
            "data: others than those that %s was trained on; %s",
            os.path.relpath(run.path),
            "they have changed since" if changed else "its own with data.root=null",
        )
    return bool(trained_on == data.store.digest)


def data_title(config: DictConfig, recorded: Mapping[str, Any] | None) -> str:
    """Return what the data of `recorded_data` are called in headings."""
    own = recorded is not None and config.data.root is None
    return str(recorded_value(recorded, "data", "title")) if own else "FER-2013"


def recorded_value(recorded: Mapping[str, Any] | None, group: str, key: str) -> Any:
    """Return a value of a run's configuration; None where it has none."""
    values = (recorded or {}).get(group)
    return values.get(key) if isinstance(values, Mapping) else None
