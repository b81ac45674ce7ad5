"""Ships a finished training: `python scripts/ship.py RUN NAME`.

Writes `weights/NAME`: the network in fp16 (`model.safetensors`, `model.yaml`), what it comes to as
it lies there (`metrics.json`), and a page that says so with the command and the commit that make
it again (`README.md`).

Args:
    RUN: the run's folder, a model's name, or `latest`.
    NAME: of the shipped weights, of letters, digits, `.`, `_`, `-`; what was shipped under it
        before is replaced.
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlab.checks import FerlabError, counted
from ferlab.cli import main as ferlab
from ferlab.distillation.labels import LABELS
from ferlab.files import read_json, write_json, write_text
from ferlab.finding import find_run
from ferlab.networks.files import DESCRIPTION, load_network, read_description, save_network
from ferlab.reporting.tables import format_accuracy
from ferlab.running.recorded import recorded_value
from ferlab.running.shipping import check_name, check_shippable, training_command
from ferlab.running.split import shipped_split_settings, split_settings, validates
from ferlab.runs import RunFolder

OWN = ["data.root=null", "augment.test_time=null"]
"""Whatever a person's own `conf/local` says, judged is as the run was."""

SPLITS = {
    "val": "validation, a part of Training",
    "test/public": "PublicTest",
    "test/private": "PrivateTest",
    "test/clean": "test images without a twin in training",
}


def ship(name: str, place: Path) -> None:
    """Write the run of this name into the folder `place`.

    Raises:
        FerlabError: there is no such run, it could not be made again from a commit, or it was
            validated by a split that is not ferlab's own.
    """
    if (place / LABELS).exists():
        raise FerlabError(f"{place} holds labels; choose another NAME")
    run = find_run(name)
    origin, trained = run.recorded_environment(), run.recorded_metrics()
    check_shippable(run)
    assert trained is not None
    config = run.recorded_config()
    title = str(recorded_value(config, "data", "title"))
    own, split = shipped_split_settings(), split_settings(config)
    if validates(config) and split != own:
        differs = ", ".join(f"{key}={value}" for key, value in split.items() if value != own[key])
        raise FerlabError(
            f"{run.path} was validated by another split than ferlab's ({differs}), which shipped "
            "weights do not tell; train it again without that"
        )
    with tempfile.TemporaryDirectory() as folder:
        shipped, judged = RunFolder(Path(folder, "run")), RunFolder(Path(folder, "judged"))
        view = recorded_value(config, "augment", "test_time")
        images = read_description(run.model / DESCRIPTION).trained_on
        save_network(load_network(run.model), shipped.model, view or "none", images, half=True)
        shutil.copy(run.config, shipped.config)  # names the split that validated
        shutil.copy(run.environment, shipped.environment)
        if ferlab(["evaluate", f"run={shipped.path}", f"hydra.run.dir={judged.path}", *OWN]):
            raise FerlabError("nothing was shipped")
        metrics = read_json(judged.metrics)
        origin["judged"] = judged.recorded_environment()["precision"]
        place.mkdir(parents=True, exist_ok=True)
        (place / "metrics.json").unlink(missing_ok=True)  # written last: the folder is whole
        for file in shipped.model.iterdir():
            shutil.copy(file, place)
    write_text(place / "README.md", describe(place, title, origin, trained, metrics))
    write_json(place / "metrics.json", metrics)


def describe(
    place: Path,
    title: str,
    origin: Mapping[str, Any],
    trained: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> str:
    """Return the page of the shipped weights."""
    rows = "\n".join(
        f"| {words} | {format_accuracy(metrics[f'{split}/accuracy'], metrics[f'{split}/images'])} "
        f"| {metrics[f'{split}/macro_f1']:.4f} |"
        for split, words in SPLITS.items()
        if f"{split}/accuracy" in metrics
    )
    images, kept = "Training", f"epoch {trained['best_epoch']}, the best by validation,"
    if "val/accuracy" not in trained:
        images, kept = "all of Training", "the last one"
    size = (place / "model.safetensors").stat().st_size / 1e6
    return f"""# {place.name}

Shipped by ferlab: fp16, {size:.1f} MB; trained and judged on {title}.

    ferlab evaluate run={place.as_posix()} data.root=/path/to/fer2013

| split | accuracy | macro F1 |
|---|---|---|
{rows}

As `metrics.json` has them: of these fp16 weights, computed in {origin["judged"]}.
Trained on {images} alone by

    git checkout {origin["commit"]}
    {training_command(origin)}

in {counted(trained["epochs"], "epoch")}, of which {kept} is kept;
{origin["device"]}, {origin["precision"]}, torch {origin["packages"]["torch"]}.
"""


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("ferlab: python scripts/ship.py RUN NAME")
    try:
        check_name(sys.argv[2])
        ship(sys.argv[1], Path("weights", sys.argv[2]))
    except FerlabError as error:
        sys.exit(f"ferlab: {error}")
