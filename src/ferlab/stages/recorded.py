"""Finished runs as a person names them, and the data that their own configuration names."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ferlab.checks import FerlabError
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import fer2013
from ferlab.finding import find_runs, model_folder
from ferlab.instantiate import check_recorded, instantiate, plain
from ferlab.networks.files import digest_weights
from ferlab.runs import RunFolder
from ferlab.stages.compose import make_augmentation, split_seed


def named_runs(config: DictConfig) -> list[RunFolder]:
    """Return the runs that `run` names, one or a list of them, out of the folders in `runs`.

    The folder of a sweep stands for all its runs.

    Raises:
        FerlabError: there is no such run, or none is named.
    """
    values = plain(config)
    named = values["run"] if isinstance(values["run"], list) else [values["run"]]
    if not named:
        raise FerlabError("run must name at least one run; got []")
    return [run for name in named for run in find_runs(str(name), values["runs"])]


def judged_networks(config: DictConfig) -> dict[str, str]:
    """Return what else a stage's result follows from: the runs' weights, and where the data lie.

    `latest`, or a model's name, is another run tomorrow.

    Args:
        config: the stage's, with `run`, `runs` and `data.root`.

    Raises:
        FerlabError: as of `named_runs`.
    """
    places = filter(None, map(model_folder, named_runs(config)))
    weights = ", ".join(digest_weights(place)[:12] for place in places)
    return {"weights": weights, "data_root": str(config.data.root)}


def recorded_data(
    config: DictConfig, recorded: Mapping[str, Any] | None, place: Path, augmented: bool = False
) -> FaceDataModule:
    """Return the data that a run's configuration names, or that `data.root` does.

    Args:
        config: the stage's, with `data.root`, `data.cache`, `data.eval_batch_size` and `trust`.
        recorded: the run's; None where it has none, as shipped weights.
        place: the file of it, for messages.
        augmented: whether the data have the run's augmentation too.

    Raises:
        FerlabError: `recorded` is not the configuration of a run, or names what ferlab does not
            ship without `trust`.
    """
    here = config.data
    elsewhere = partial(fer2013, here.root, here.cache)
    if recorded is None:
        return FaceDataModule(elsewhere, eval_batch_size=here.eval_batch_size)
    if not config.trust:
        check_recorded({"data": recorded.get("data")}, str(place))
    try:
        data, source = recorded["data"], dict(recorded["data"]["source"])
        source["cache"] = here.cache  # never the recorded one: nothing is written where it says
        return FaceDataModule(
            elsewhere if here.root is not None else instantiate(source, "data.source"),
            augmentation=make_augmentation(recorded["augment"]) if augmented else None,
            eval_batch_size=here.eval_batch_size,
            val_fraction=data["val_fraction"],
            split_seed=split_seed(recorded),
            twins=data["twins"],
            blank=data["blank"],
            limit=data["limit"],
            seed=recorded["seed"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FerlabError(f"{place} is not the configuration of a run ({error})") from error


def recorded_value(recorded: Mapping[str, Any] | None, group: str, key: str) -> Any:
    """Return a value of a run's configuration; None where it has none."""
    values = (recorded or {}).get(group)
    return values.get(key) if isinstance(values, Mapping) else None
