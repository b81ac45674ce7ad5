"""The command line itself."""

import subprocess
import sys

import pytest

from ferlab.cli import STAGES, main


def test_an_unknown_stage_is_one_line_with_a_hint(capsys):
    assert main(["trian"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ferlab: no stage 'trian', did you mean 'train'?; the stages are train")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_stages(arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"  {stage} " in shown for stage in STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_its_module_and_configuration(stage, capsys):
    assert main([stage, "--cfg", "job"]) == 0
    assert ":" in capsys.readouterr().out


def test_a_stage_whose_extra_is_not_installed_says_so_in_one_line():
    code = (
        "import sys, ferlab.cli; sys.modules['optuna'] = None; sys.exit(ferlab.cli.main(['tune']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "ferlab: tune needs optuna; pip install 'ferlab[tune]'\n"


def test_help_does_not_wait_for_torch():
    code = "import sys, ferlab.cli; ferlab.cli.main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_configuration_can_be_shown_without_a_run(capsys, tmp_path):
    assert main(["train", "--cfg", "job"]) == 0
    assert "max_epochs: 100" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
