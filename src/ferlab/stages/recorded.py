"""The data that a finished run's own configuration names."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ferlab.checks import FerlabError
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import fer2013
from ferlab.instantiate import check_recorded, instantiate
from ferlab.stages.compose import make_augmentation
from ferlab.stages.split import split_seed


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
