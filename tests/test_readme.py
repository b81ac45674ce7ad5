"""What the README and the heads of the configuration files say works."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import hydra
import numpy as np
import pytest
from PIL import Image

from ferlab.emotions import EMOTIONS
from ferlab.files import read_json
from ferlab.instantiate import conf_folder
from ferlab.reporting.tables import format_accuracy
from ferlab.running.known import check_known

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()


def commands() -> Iterator[str]:
    """Yield what can be typed: `train model=F` of `python train.py model=F    # a comment`."""
    texts = [README, *(path.read_text() for path in sorted(conf_folder().rglob("*.yaml")))]
    for line in dict.fromkeys("\n".join(texts).splitlines()):
        if typed := re.match(r"(?:    |# )(python train\.py|ferlab (?=[a-z_]+\b))(.*)", line):
            stage = "train " if typed[1].startswith("python") else ""
            yield stage + re.split(r" {2,}| > ", typed[2].strip())[0]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_what_can_be_typed_is_composed(command):
    stage, *arguments = shlex.split(command)
    overrides = [one for one in arguments if "=" in one]
    if "-m" in arguments:  # of a sweep the first job
        overrides = [one.partition(",")[0] for one in overrides]
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        check_known(stage, hydra.compose(stage, overrides))


def test_the_accuracies_of_the_shipped_weights_are_their_own():
    for name, accuracy in re.findall(r"\| \[weights/(\w+)\]\(.*?\| ([\d.]+ % ± [\d.]+)", README):
        metrics = read_json(PROJECT / "weights" / name / "metrics.json")
        of_public = (metrics[f"test/public/{key}"] for key in ("accuracy", "images"))
        assert format_accuracy(*of_public) == accuracy


def test_the_lines_in_python_run_as_they_stand(capsys):
    predicting, training = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    Path("weights").symlink_to(PROJECT / "weights")
    Image.fromarray(np.full((90, 80, 3), 128, dtype=np.uint8)).save("face.png")
    exec(predicting, {})
    shown = eval(capsys.readouterr().out)
    assert tuple(shown) == EMOTIONS
    assert sum(shown.values()) == pytest.approx(1, abs=1e-5)

    names: dict[str, object] = {}
    exec(training, names)
    assert names["probabilities"].shape == (56, 7)
    assert names["trainer"].current_epoch == 2
