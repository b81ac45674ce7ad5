"""The command line itself."""

import subprocess
import sys

import pytest

from ferlab.cli import main


def test_an_unknown_stage_is_one_line_with_a_hint(capsys):
    assert main(["trian"]) == 1
    assert capsys.readouterr().err == (
        "ferlab: no stage 'trian', did you mean 'train'?; the stages are train, describe\n"
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_stages(arguments, capsys):
    assert main(arguments) == 0
    assert "train" in capsys.readouterr().out


def test_help_does_not_wait_for_torch():
    code = "import sys, ferlab.cli; ferlab.cli.main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_configuration_can_be_shown_without_a_run(capsys, tmp_path):
    assert main(["train", "--cfg", "job"]) == 0
    assert "max_epochs: 100" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
