"""What the README says works."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferlab.emotions import EMOTIONS

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text()


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
