"""A run's folder and the rule that it belongs to one configuration."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from ferlab.checks import FerlabError
from ferlab.runs import RunFolder

CONFIG = {"seed": 0, "data": {"root": "/here"}, "model": {"layers": [{"conv": 4}, "flatten"]}}

MADE_ON = {"data": "abc", "accelerator": "cpu", "precision": "32-true"}


@pytest.fixture
def begun(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.open(CONFIG, MADE_ON, device="cpu")
    return folder


def test_the_same_configuration_goes_on(begun):
    begun.check_configuration(CONFIG)
    with begun:
        begun.open(CONFIG, MADE_ON, device="cpu (8 threads)")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({**CONFIG, "seed": 1}, r"seed \(0 there, 1 now\)"),
        ({**CONFIG, "model": {"layers": [{"conv": 8}, "flatten"]}}, r"model\.layers\.0\.conv"),
        ({**CONFIG, "model": {"layers": [{"conv": 4}]}}, r"model\.layers\.1 \(flatten there, abs"),
        ({**CONFIG, "monitor": "val/loss"}, r"monitor \(absent there, val/loss now\)"),
    ],
)
def test_what_changes_the_result_is_refused_by_name(begun, changed, message):
    with pytest.raises(FerlabError, match=message):
        begun.check_configuration(changed)


def test_what_does_not_change_the_result_may_differ(begun):
    begun.check_configuration({**CONFIG, "data": {"root": "/elsewhere"}, "logger": None})


@pytest.mark.parametrize("changed", ["data", "accelerator", "precision"])
def test_other_images_and_another_arithmetic_are_refused(begun, changed):
    with pytest.raises(FerlabError, match=rf"begun with other {changed} \(.* there, new now\)"):
        begun.open(CONFIG, {**MADE_ON, changed: "new"}, device="cpu")


def test_a_training_of_several_processes_is_not_gone_on_with_by_one(begun):
    begun.open(CONFIG, {**MADE_ON, "processes": "1"}, device="cpu")  # once not recorded
    with pytest.raises(FerlabError, match=r"begun with other processes \(1 there, 2 now\)"):
        begun.open(CONFIG, {**MADE_ON, "processes": "2"}, device="cpu")


def test_code_that_a_run_goes_on_with_is_recorded_once(begun, monkeypatch):
    before = begun.recorded_environment()
    monkeypatch.setattr("ferlab.environment.loaded_commit", lambda: "b" * 40)
    for _ in range(2):
        with begun:
            begun.open(CONFIG, MADE_ON, device="cpu")
    recorded = begun.recorded_environment()
    (resumed,) = recorded.pop("resumed")
    assert recorded == before
    assert (resumed["commit"], resumed["packages"]) == ("b" * 40, before["packages"])


def test_a_folder_that_was_taken_meanwhile_is_refused(begun):
    with pytest.raises(FerlabError, match="seed"):
        begun.open({**CONFIG, "seed": 7}, MADE_ON, device="cpu")


def test_damaged_files_are_named(begun):
    begun.metrics.write_text('{"val/acc')
    with pytest.raises(FerlabError, match="metrics.json is damaged"):
        begun.recorded_metrics()
    begun.config.write_text("a: [")
    with pytest.raises(FerlabError, match="config.yaml is damaged"):
        begun.check_configuration(CONFIG)


def test_the_log_holds_what_was_said_before_the_folder_was_opened(tmp_path):
    logger = logging.getLogger("ferlab")
    logger.setLevel(logging.INFO)
    with RunFolder(tmp_path / "run") as folder:
        logger.info("early")
        folder.open(CONFIG, MADE_ON, device="cpu")
        logger.info("late")
    logger.info("afterwards")
    lines = folder.log.read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["early", "late"]


def test_an_unused_folder_is_removed_with_its_empty_parents_and_nothing_else(tmp_path):
    Path("outputs/train/mine").mkdir(parents=True)
    Path("outputs/train/F-adam/now").mkdir(parents=True)
    with RunFolder(Path("outputs/train/F-adam/now").resolve()):
        pass
    assert [path.name for path in Path("outputs/train").iterdir()] == ["mine"]


def test_a_folder_that_another_process_writes_is_refused_until_it_dies(begun):
    code = (
        "import sys; from pathlib import Path; from ferlab.runs import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])) as folder:\n"
        f"    folder.open({CONFIG}, {MADE_ON}, device='cpu')\n"
        "    print('writing', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, begun.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout.readline() == "writing\n"
    assert begun.busy()
    with pytest.raises(FerlabError, match="run is being written by another process; wait"), begun:
        begun.open(CONFIG, MADE_ON, device="cpu")
    writer.kill()
    writer.communicate()
    assert not begun.busy()
    with begun:
        begun.open(CONFIG, MADE_ON, device="cpu")
        assert not begun.busy()
        assert RunFolder(begun.path).busy()


def test_what_a_killed_process_left_half_written_is_removed(begun):
    left = begun.checkpoints / ".last.ckpt.123.partial"
    left.parent.mkdir()
    left.write_bytes(b"half")
    with begun:
        begun.open(CONFIG, MADE_ON, device="cpu")
    assert not left.exists()


def test_a_lock_is_not_left_in_a_written_folder(begun):
    assert sorted(path.name for path in begun.path.iterdir()) == [
        "config.yaml",
        "environment.json",
        "train.log",
    ]
