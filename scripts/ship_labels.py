"""Ships the labels of cross-fitted networks: `python scripts/ship_labels.py NAME FOLDER [...]`.

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

import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig

from ferlab.checks import FerlabError, counted
from ferlab.distillation.distil import Teachers
from ferlab.distillation.labels import save_labels
from ferlab.files import write_text
from ferlab.finding import find_runs
from ferlab.instantiate import plain
from ferlab.networks.files import DESCRIPTION
from ferlab.running.compose import make_data
from ferlab.running.entry import run_stage
from ferlab.running.recorded import recorded_value
from ferlab.running.shipping import check_name, check_shippable, training_command
from ferlab.running.split import split_settings
from ferlab.runs import RunFolder

WHOLE = (
    *("data.val_fraction=0", "data.twins=keep", "data.blank=keep", "data.limit=null"),
    *("data.folds=null", "data.fold=0"),
)
"""With these all training images are train images."""


def ship_labels(place: Path, runs: list[RunFolder], config: DictConfig, folder: RunFolder) -> None:
    """Write the runs' labels of the training images into the folder `place`.

    Raises:
        FerlabError: a run could not be made again from a commit, they were validated by several
            splits, or one of the images was left out by none of them.
    """
    if (place / DESCRIPTION).exists():
        raise FerlabError(f"{place} holds a network; choose another NAME")
    teachers, data = Teachers(plain(config), folder), make_data(config)
    for run in runs:
        check_shippable(run)
    split, *others = [split_settings(run.recorded_config()) for run in runs]
    if any(other != split for other in others):
        raise FerlabError("these runs were validated by different splits; name those of one sweep")
    teachers.check_data(data)
    probabilities, unseen = teachers.predict(data)
    if n_seen := int((~unseen).sum()):
        raise FerlabError(
            f"{counted(n_seen, 'image')} were left out by none of these runs; name one of each "
            "data.fold"
        )
    own = torch.from_numpy(data.store.labels[data.rows("train")])
    agreement = (probabilities.argmax(dim=1) == own).float().mean().item()
    text = describe(place, len(probabilities), runs, agreement)
    place.mkdir(parents=True, exist_ok=True)
    (place / "README.md").unlink(missing_ok=True)  # written last: the folder is whole
    save_labels(place, probabilities, data.store.digest_of("training"), split)
    write_text(place / "README.md", text)


def describe(place: Path, n_images: int, runs: list[RunFolder], agreement: float) -> str:
    """Return the page of the shipped labels."""
    origins = [run.recorded_environment() for run in runs]
    title = recorded_value(runs[0].recorded_config(), "data", "title")
    commits, devices = (
        ", ".join(sorted({str(origin[key]) for origin in origins})) for key in ("commit", "device")
    )
    commands = "\n".join(f"    {command}" for command in sorted(map(training_command, origins)))
    return f"""# {place.name}

Shipped by ferlab: labels of the {n_images:,} training images of {title} by trained networks.
Probabilities of the seven classes, fp16, in the store's order, each the mean over those of
{len(runs)} networks that were not trained on the image. No network was trained on the images that
validate. The most probable class is the label of {100 * agreement:.2f} % of the images.

    python train.py distillation.teachers=[{place.as_posix()}]

The networks were trained on these images, on {devices}, at commit
{commits}, by

{commands}
"""


def main(arguments: list[str]) -> int:
    """Ship the labels; return the exit status."""
    names = [text for text in arguments if "=" not in text]
    overrides = [text for text in arguments if "=" in text]
    if len(names) < 2:
        sys.exit("ferlab: python scripts/ship_labels.py NAME FOLDER [...]")
    name, *folders = names
    try:
        check_name(name)
        runs = [run for folder in folders for run in find_runs(folder)]
    except FerlabError as error:
        sys.exit(f"ferlab: {error}")
    own = [f"distillation.teachers=[{','.join(map(_quoted, folders))}]", *WHOLE]
    task = partial(ship_labels, Path("weights", name), runs)
    with tempfile.TemporaryDirectory() as folder:
        return run_stage("train", task, [*overrides, *own, f"hydra.run.dir={folder}"], sweeps=False)


def _quoted(folder: str) -> str:
    """Return the name as Hydra reads any name in a list."""
    return "'{}'".format(folder.replace("\\", "\\\\").replace("'", "\\'"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
