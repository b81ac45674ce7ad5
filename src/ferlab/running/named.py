"""The finished runs that a stage's configuration names."""

from collections.abc import Sequence

from omegaconf import DictConfig

from ferlab.checks import FerlabError
from ferlab.finding import find_runs, model_folder
from ferlab.instantiate import plain
from ferlab.networks.files import digest_weights
from ferlab.runs import RunFolder


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
    searched = searched_folders(values["runs"])
    runs = [run for name in named for run in find_runs(str(name), searched)]
    resolved = [run.path.resolve() for run in runs]
    for run, place in zip(runs, resolved, strict=True):
        if resolved.count(place) > 1:  # it would count twice in a mean
            raise FerlabError(f"run names {run.path} twice; name it once")
    return runs


def searched_folders(runs: object) -> list[str]:
    """Return the folders that a stage's `runs` lists.

    Raises:
        FerlabError: it is no list, or an empty one.
    """
    if not isinstance(runs, list) or not runs:
        raise FerlabError(f"runs must be a list of folders such as [outputs]; got {runs!r}")
    return [str(place) for place in runs]


def judged_networks(config: DictConfig, runs: Sequence[RunFolder]) -> dict[str, str]:
    """Return what else a stage's result follows from: the runs' weights, and where the data lie.

    `latest`, or a model's name, is another run tomorrow.

    Args:
        config: the stage's, with `data.root`.
        runs: of `named_runs`.

    Raises:
        FerlabError: one has no weights.
    """
    weights = ", ".join(digest_weights(model_folder(run))[:12] for run in runs)
    return {"weights": weights, "data_root": str(config.data.root)}
