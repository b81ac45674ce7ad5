"""The command line: files and folders of any name, Hydra's flags, and what goes on after a stop."""

import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
from conftest import TINY_TREE
from faces import make_tree
from hydra.core.override_parser.overrides_parser import OverridesParser
from interruptions import at_batch

from ferlab.cli import main
from ferlab.running.arguments import start_of_command, with_place, with_quoted_places


@pytest.mark.parametrize(
    "place",
    [
        "/home/jörg/fer2013",
        "fer2013 (1).zip",
        "it's; #1 & more!",
        'a "b"',
        "läufe,b",
        "outputs/train/F-adam",
        "outputs/[F]",
        "東京",
    ],
)
def test_a_file_or_folder_may_have_any_name(place):
    (argument,) = with_quoted_places([f"data.root={place}"])
    assert OverridesParser.create().parse_override(argument).value() == place


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert with_quoted_places(["hydra.run.dir=~/runs"]) == ['hydra.run.dir="/home/me/runs"']


@pytest.mark.parametrize(
    "argument", ["data.root=data/fer2013", "run=[F,C]", "resume='läufe'", "data.title=ö", "-m"]
)
def test_what_hydra_can_read_and_what_is_no_place_is_left_alone(argument):
    assert with_quoted_places([argument]) == [argument]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model=A", "seed=1"], ["hydra.run.dir=run", "model=A", "seed=1"]),
        (["-cd", "mine", "model=A"], ["-cd", "mine", "hydra.run.dir=run", "model=A"]),
        (["model=A", "-cd=mine"], ["hydra.run.dir=run", "model=A", "-cd=mine"]),
        (["hydra.run.dir=run", "model=A"], ["hydra.run.dir=run", "model=A"]),
        ([], ["hydra.run.dir=run"]),
    ],
)
def test_a_folder_is_named_beside_the_other_overrides(arguments, expected):
    assert with_place(arguments, "run") == expected


def test_a_run_with_umlauts_brackets_and_a_folder_of_recipes_stops_and_goes_on(monkeypatch, capfd):
    make_tree(Path("fäces")).rename("fäces (1)")
    recipe = Path("mine/experiment/ours.yaml")
    recipe.parent.mkdir(parents=True)
    recipe.write_text("# @package _global_\nseed: 7\n")
    at_batch(monkeypatch, 1, 0, lambda: signal.raise_signal(signal.SIGINT))
    tree = [one for one in TINY_TREE if not one.startswith("data.root=")]
    arguments = ["--config-dir", "mine", "experiment=ours", "data.root=fäces (1)", *tree]
    assert main(["train", *arguments, "hydra.run.dir=läufe/#1"]) == 130
    program, *again = shlex.split(re.search("go on with: (.*)", capfd.readouterr().err)[1])
    assert (program, again[:3]) == ("ferlab", ["train", "--config-dir", "mine"])
    assert main(again) == 0, capfd.readouterr().err
    assert "seed: 7" in Path("läufe/#1/config.yaml").read_text()
    assert main(["evaluate", "run=läufe/#1", "trainer.accelerator=cpu"]) == 0
    capfd.readouterr()


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("--multi", "write --multi in full: --multirun"),
        ("--experimental=x", "write --experimental in full: --experimental-rerun"),
        ("hydra.mode=MULTIRUN", "leave out hydra.mode; -m asks for a sweep"),
        (
            "augment.extra.sad=ö",
            "augment.extra.sad=ö cannot be read; put what has other signs than letters, digits and "
            "/._- in quotes of its own, as in 'data.root=\"…\"'",
        ),
    ],
)
def test_what_hydra_would_take_otherwise_or_cannot_read_is_refused_in_one_line(
    argument, line, capsys
):
    assert main(["train", argument]) == 1
    assert capsys.readouterr().err == f"ferlab: {line}\n"


@pytest.mark.parametrize(
    ("program", "n_nodes", "start"),
    [
        ("train.py", 1, "torchrun --nproc-per-node=2 train.py"),
        ("bin/ferlab", 1, "torchrun --nproc-per-node=2 -m ferlab train"),
        ("bin/ferlab", 3, "torchrun --nnodes=3 --nproc-per-node=2 -m ferlab train"),
    ],
)
def test_a_training_of_several_processes_goes_on_in_as_many(monkeypatch, program, n_nodes, start):
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", str(2 * n_nodes))
    assert " ".join(start_of_command("train")) == start
