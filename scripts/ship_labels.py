"""Ships what cross-fitted networks say: `python scripts/ship_labels.py NAME FOLDER [...]`.

Writes `weights/NAME`: for every training image the mean probabilities of the networks that were not
trained on it (`labels.safetensors`), and a page that says how they were made (`README.md`). A
training learns from them by `distillation.teachers=[weights/NAME]`, without the networks.

Args:
    NAME: of the labels, of letters, digits, `.`, `_`, `-`; what was shipped under it before is
        replaced.
    FOLDER: of a sweep, or of a finished training; every image must have been left out by one of
        them (`data.folds`, `data.fold`).
    Overrides of the configuration may follow, such as data.root=/path/to/fer2013.
"""

import re
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig

from ferlab.checks import FerlabError, counted
from ferlab.files import write_text
from ferlab.finding import find_runs
from ferlab.learning.distillation import mean_of_unseen
from ferlab.runs import RunFolder, flatten, settles_result
from ferlab.stages.compose import make_data
from ferlab.stages.distil import Teachers
from ferlab.stages.entry import run_stage
from ferlab.stages.labels import save_labels
from ferlab.stages.split import split_settings


def ship_labels(place: Path, names: list[str], config: DictConfig, folder: RunFolder) -> None:
    """Write what the runs of these folders say of the training images into the folder `place`.

    Raises:
        FerlabError: a run could not be made again from a commit, they were validated by several
            splits, or one of the images was left out by none of them.
    """
    runs = [run for name in names for run in find_runs(name)]
    origins = [run.recorded_environment() for run in runs]
    for run, origin in zip(runs, origins, strict=True):
        if (origin.get("commit") or "-dirty").endswith("-dirty"):  # none where git was not at hand
            raise FerlabError(
                f"{run.path} was trained by code that no commit holds; train it again"
            )
    split, *others = [split_settings(run.recorded_config()) for run in runs]
    if any(other != split for other in others):
        raise FerlabError("these runs were validated by different splits; name those of one sweep")

    teachers, data = Teachers(config, folder), make_data(config)
    teachers.check_data(data)
    said, seen = teachers.ask(data)
    if n_seen := int(seen.all(dim=0).sum()):
        raise FerlabError(
            f"{counted(n_seen, 'image')} were left out by none of these runs; name one of each "
            "data.fold"
        )
    probabilities = mean_of_unseen(said, seen)
    place.mkdir(parents=True, exist_ok=True)
    save_labels(place, probabilities, data.store.digest_of("training"), split)
    own = torch.from_numpy(data.store.labels[data.judged_rows("train")])
    agreement = (probabilities.argmax(dim=1) == own).float().mean().item()
    write_text(place / "README.md", describe(place, runs, origins, agreement))


def describe(
    place: Path, runs: list[RunFolder], origins: list[dict[str, object]], agreement: float
) -> str:
    """Return the page of the shipped labels."""
    title = flatten(runs[0].recorded_config())["data.title"]
    commands = "\n".join(sorted({_command(origin) for origin in origins}))
    commits = ", ".join(sorted({str(origin["commit"]) for origin in origins}))
    return f"""# {place.name}

Shipped by ferlab: what trained networks make of each training image of
{title}:
the probabilities of the seven classes, fp16, in the store's order, each the mean over those of
{len(runs)} networks that were not trained on the image. What validates trained none of them. The
most probable class is the label of {100 * agreement:.2f} % of the images.

    python train.py distillation.teachers=[{place.as_posix()}]

The networks were trained on these images alone, on {origins[0]["device"]}, at commit
{commits}, by

{commands}
"""


def _command(origin: dict[str, object]) -> str:
    overrides = origin["overrides"]
    assert isinstance(overrides, list)
    kept = [
        text
        for text in map(str, overrides)
        if settles_result(text.lstrip("+~").partition("=")[0]) and not text.startswith("hydra.")
    ]
    return f"    {shlex.join(['python', 'train.py', *kept])}"


def main(arguments: list[str]) -> int:
    """Ship the labels; return the exit status."""
    names = [text for text in arguments if "=" not in text]
    overrides = [text for text in arguments if "=" in text]
    if len(names) < 2:
        sys.exit("ferlab: python scripts/ship_labels.py NAME FOLDER [...]")
    name, *folders = names
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        sys.exit(f"ferlab: NAME must be a plain name, such as mine; got {name!r}")
    task = partial(ship_labels, Path("weights", name), folders)
    own = [f"distillation.teachers=[{','.join(folders)}]", "data.val_fraction=0"]
    with tempfile.TemporaryDirectory() as folder:
        return run_stage("train", task, [*own, *overrides, f"hydra.run.dir={folder}"], sweeps=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
