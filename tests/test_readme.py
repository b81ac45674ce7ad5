"""What the README says works."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_lines_in_python_run_as_they_stand():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["probabilities"].shape == (56, 7)
    assert names["trainer"].current_epoch == 2
