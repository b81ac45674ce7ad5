"""Sweeps: what is finished is kept, what was cut off goes on, what failed is told and retried."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY, Outcome
from interruptions import PowerCut, at_batch, cut_power

from ferlab.checks import FerlabError
from ferlab.cli import main
from ferlab.files import read_yaml
from ferlab.instantiate import conf_folder
from ferlab.running import sweep
from ferlab.running.sweep import folder_name, plan
from ferlab.runs import RunFolder

SEEDS = ["-m", "seed=0,1", "trainer.max_epochs=2"]


def only_sweep() -> Path:
    (folder,) = Path("outputs/sweeps").iterdir()
    return folder


def finished_at(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/metrics.json")}


def jobs(folder: Path) -> list[dict[str, str]]:
    """Return the rows of jobs.csv, less what depends on the clock."""
    with (folder / "jobs.csv").open(newline="") as file:
        return [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]


def test_a_sweep_trains_each_combination_and_tells_of_each(train):
    status, out, err = train("-m", "seed=0,1", "optimizer=adam,sgd", "trainer.max_epochs=1")
    assert status == 0, err
    folder = only_sweep()
    assert folder.name.startswith("seed_optimizer_")
    assert set(finished_at(folder)) == {
        f"optimizer-{optimizer}_seed-{seed}" for optimizer in ("adam", "sgd") for seed in (0, 1)
    }
    assert [row["status"] for row in jobs(folder)] == ["finished"] * 4
    table = out[out.index("\njob  ") :]
    assert "seed=0 optimizer=adam  finished" in table
    assert "optimizer=sgd                  2" in table  # mean over two seeds


def test_the_same_command_again_does_nothing_twice(train):
    assert train(*SEEDS)[0] == 0
    before = finished_at(only_sweep())
    status, out, _ = train(*SEEDS)
    assert status == 0
    assert finished_at(only_sweep()) == before
    assert out.count("finished before, nothing to do") == 2


def test_a_failed_job_does_not_stop_the_others_and_is_tried_again(train, monkeypatch):
    def fail():
        raise RuntimeError("out of memory\nand more")

    at_batch(monkeypatch, 0, 1, fail)
    status, out, _ = train(*SEEDS)
    assert status == 1
    first, second = jobs(only_sweep())
    assert (first["status"], first["reason"]) == ("failed", "RuntimeError: out of memory; and more")
    assert second["status"] == "finished"
    assert "Traceback" in (only_sweep() / "seed-0/train.log").read_text()

    before = finished_at(only_sweep())
    assert train(*SEEDS)[0] == 0
    assert [row["status"] for row in jobs(only_sweep())] == ["finished", "finished"]
    assert before.items() < finished_at(only_sweep()).items()
    assert not (only_sweep() / "seed-0/failure.txt").exists()


def test_a_mistake_in_one_job_is_one_line_and_leaves_nothing_else(train):
    status, out, _ = train("-m", "optimizer.lr=-1,0.1", "trainer.max_epochs=1")
    assert status == 1
    assert jobs(only_sweep())[0]["reason"] == "optimizer.lr must be a number > 0; got -1"
    assert [path.name for path in (only_sweep() / "optimizer.lr--1").iterdir()] == ["failure.txt"]
    assert "Traceback" not in out


def test_the_folder_of_another_sweep_is_refused_and_nothing_in_it_is_taken_for_this_ones(train):
    into = ["hydra.sweep.dir=x"]
    assert train(*SEEDS, *into)[0] == 0
    before = finished_at(Path("x"))
    assert train(*SEEDS, *into, "optimizer.lr=0.1")[0] == 1
    for row in jobs(Path("x")):
        assert row["status"] == "failed"
        assert "belongs to another configuration: optimizer.lr (0.0005 there" in row["reason"]
        assert "choose another hydra.sweep.dir" in row["reason"]
    assert finished_at(Path("x")) == before
    assert not list(Path("x").rglob("failure.txt"))
    assert train(*SEEDS, *into, "data.size=210")[0] == 1
    assert "belongs to another configuration: data.size" in jobs(Path("x"))[0]["reason"]
    assert train(*SEEDS, *into)[0] == 0


@pytest.mark.parametrize("added", ["~model.layers.0.dropout", "+loss.gamma=1e0", "++seed=1"])
def test_what_is_added_or_taken_out_is_no_part_of_a_jobs_name(train, added):
    sweep = ["-m", "loss=focal", "optimizer=adam,sgd", "trainer.max_epochs=1", "~loss.gamma"]
    status, _, err = train(*sweep, added)
    assert status == 0, err
    assert sorted(finished_at(only_sweep())) == ["optimizer-adam", "optimizer-sgd"]


def test_every_job_trains_what_was_composed_at_the_start(monkeypatch, capsys):
    mine = Path("mine/local/default.yaml")
    mine.parent.mkdir(parents=True)
    mine.write_text("optimizer: {lr: 0.25}\n")
    at_batch(monkeypatch, 0, 1, lambda: mine.write_text("optimizer: {lr: 0.5}\n"))
    assert main(["train", "-m", "--config-dir=mine", *TINY, "seed=0,1"]) == 0
    configs = [read_yaml(path) for path in only_sweep().glob("*/config.yaml")]
    assert [config["optimizer"]["lr"] for config in configs] == [0.25, 0.25]
    assert [row["status"] for row in jobs(only_sweep())] == ["finished"] * 2


@pytest.mark.parametrize("flag", ["--config-dir=my files", "--config-dir", "-cd"])
def test_a_folder_of_a_persons_own_files_is_of_every_job(flag, capsys):
    mine = Path("my files/local/default.yaml")
    mine.parent.mkdir(parents=True)
    mine.write_text("optimizer: {lr: 0.25}\n")
    named = [flag] if "=" in flag else [flag, "my files"]
    command = ["train", "-m", *named, *TINY, "seed=0,1"]
    assert main(command) == 0, capsys.readouterr().err
    configs = [read_yaml(path) for path in only_sweep().glob("*/config.yaml")]
    assert [config["optimizer"]["lr"] for config in configs] == [0.25, 0.25]
    for path in only_sweep().glob("*/environment.json"):
        assert json.loads(path.read_text())["local"] == ["my files"]
    shutil.rmtree("my files")
    missing = f"{flag.partition('=')[0]}: there is no folder 'my files'"
    assert main(command) == 1
    assert missing in capsys.readouterr().err


@pytest.mark.parametrize("swept", ["model=A,B", "seed=1,1"])
def test_jobs_that_are_the_same_are_refused(swept, capsys):
    assert main(["train", "-m", "experiment=speedrun", "seed=1", swept]) == 1
    assert "jobs 1 and 2 are the same" in capsys.readouterr().err


def test_a_missing_m_is_named(train):
    assert train("seed=0,1")[2].startswith("ferlab: seed=0,1 has several values; add -m to run")


def test_a_sweep_that_was_cut_off_goes_on_where_it_was(train, monkeypatch):
    assert train(*SEEDS, "hydra.sweep.dir=whole")[0] == 0

    assert train("seed=0", "trainer.max_epochs=2", "hydra.run.dir=cut/seed-0")[0] == 0
    at_batch(monkeypatch, 1, 2, cut_power)
    with pytest.raises(PowerCut):
        train(*SEEDS, "hydra.sweep.dir=cut", "checkpoint.every=1batch")
    before = finished_at(Path("cut"))

    assert train(*SEEDS, "hydra.sweep.dir=cut", "checkpoint.every=1batch")[0] == 0
    assert before.items() < finished_at(Path("cut")).items()
    assert jobs(Path("cut")) == jobs(Path("whole"))
    for name in ("seed-0", "seed-1"):
        Outcome(Path("cut", name)).assert_equal(Outcome(Path("whole", name)))


def test_a_signal_ends_the_sweep_with_the_command_that_goes_on(train, monkeypatch):
    at_batch(monkeypatch, 0, 1, lambda: signal.raise_signal(signal.SIGTERM))
    status, _, err = train(*SEEDS)
    assert status == 130
    assert "stopped by SIGTERM" in err
    assert " seed=0,1 " in err.partition("go on with: ")[2].replace("'", "")
    assert not finished_at(only_sweep())


def test_what_cannot_be_composed_is_refused_before_the_first_job(train):
    status, out, err = train("-m", "model=A,Z")
    assert status == 1
    assert "there is no model=Z; model is one of A, B, C" in err
    assert out == ""
    assert not Path("outputs").exists()


def test_what_is_not_a_list_of_values_is_refused():
    with pytest.raises(FerlabError, match="is not a list of values; for a search"):
        plan("train", ["-m", "optimizer.lr=interval(0, 1)"])


def write_experiment(tmp_path, monkeypatch, text):
    shutil.copytree(conf_folder(), tmp_path / "conf")
    (tmp_path / "conf/experiment/mine.yaml").write_text(f"# @package _global_\n{text}")
    monkeypatch.setattr(sweep, "conf_folder", lambda: tmp_path / "conf")


PARAMS = "hydra:\n  sweeper:\n    params:\n      seed: 1,2\n"


def test_an_experiment_may_say_what_is_swept_and_the_command_line_overrides_it(
    tmp_path, monkeypatch
):
    write_experiment(tmp_path, monkeypatch, PARAMS)

    def names(*overrides):
        return [job.name for job in plan("train", ["-m", "experiment=mine", *overrides]).jobs]

    assert names() == ["seed=1", "seed=2"]
    assert names("seed=5,6,7") == ["seed=5", "seed=6", "seed=7"]
    assert names("seed=5") == names("++seed=5") == [""]
    assert len(names("model=A,B")) == 4


def test_experiments_that_sweep_different_values_are_not_swept_together(tmp_path, monkeypatch):
    write_experiment(tmp_path, monkeypatch, PARAMS)
    with pytest.raises(FerlabError, match="sweep different hydra.sweeper.params"):
        plan("train", ["-m", "experiment=mine,F_best"])


def test_an_ensemble_is_trained_by_one_command_and_judged_by_another(train, capfd):
    status, _, err = train("experiment=ensemble", "trainer.max_epochs=1")
    assert status == 1
    assert err.strip().endswith("sweeps data.fold; add -m, or name one value of each")
    assert main(["tune", "experiment=ensemble"]) == 1
    assert capfd.readouterr().err.strip().endswith("sweeps data.fold; name one value of each")
    assert not list(Path().rglob("config.yaml"))
    members = ["experiment=ensemble", "data.folds=2", "data.fold=0,1", "augment.test_time=none"]
    faces = ["data.size=280", "data.source.seed=0", "trainer.max_epochs=1"]
    assert train("-m", *members, *faces)[0] == 0
    folder = only_sweep()
    assert len(finished_at(folder)) == 2
    assert main(["evaluate", f"run={folder}", "hydra.run.dir=out"]) == 0
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert {"val/accuracy", "test/accuracy"} <= metrics.keys()
    judged = json.loads(Path("out/environment.json").read_text())["runs"].split(", ")
    assert [Path(run).name for run in judged] == ["data.fold-0", "data.fold-1"]
    table = folder / "jobs.csv"
    table.write_text(table.read_text().replace("finished", "failed", 1))
    assert main(["evaluate", f"run={folder}", "hydra.run.dir=again"]) == 1
    assert "not all jobs are finished trainings" in capfd.readouterr().err


def test_one_member_of_an_ensemble_is_a_training_like_any_other(train):
    member = ["experiment=ensemble", "data.fold=5", "data.size=280", "data.source.seed=0"]
    member += ["augment.test_time=none", "trainer.max_epochs=1"]
    assert train(*member, "hydra.run.dir=alone")[0] == 0
    overrides = json.loads(Path("alone/environment.json").read_text())["overrides"]
    assert {"experiment=ensemble", "data.fold=5"} <= set(overrides)
    assert train("-m", *member)[0] == 0
    assert main(["evaluate", f"run={only_sweep()}", "hydra.run.dir=out"]) == 0
    Outcome(Path("alone")).assert_equal(Outcome(only_sweep()))


def test_a_sweeps_folder_follows_from_its_configuration(tmp_path, monkeypatch):
    def name(*overrides):
        return plan("train", ["-m", "seed=0,1", *overrides]).folder.name

    first = name()
    assert name() == name("data.cache=elsewhere", "checkpoint.every=5") == first
    assert name("optimizer.lr=0.1") != first
    shutil.copytree(conf_folder(), tmp_path / "conf")
    monkeypatch.setattr(sweep, "conf_folder", lambda: tmp_path / "conf")
    assert name() == first
    edited = tmp_path / "conf/model/F.yaml"
    edited.write_text(edited.read_text().replace("dropout: 0.25", "dropout: 0.5"))
    assert name() != first


@pytest.mark.parametrize(
    "text",
    ["model.layers-[{conv:4}]", "a=b", "x" * 300, "+model.layers.0.stride-2", "é"],
)
def test_folder_names_can_be_typed_back(text):
    name = folder_name(text)
    assert name.replace(".", "").replace("_", "").replace("-", "").isalnum()
    assert name.isascii()
    assert len(name) < 120
    assert name != folder_name(f"{text}!")


def test_a_plain_name_stays_as_it_is():
    assert folder_name("model-A_optimizer.lr-0.01") == "model-A_optimizer.lr-0.01"


@pytest.mark.parametrize("stage", ["describe", "explore"])
def test_stages_that_have_nothing_to_compare_refuse_a_sweep(stage, capsys):
    assert main([stage, "-m", "seed=1,2"]) == 1
    assert f"{stage} cannot be swept with -m" in capsys.readouterr().err
    assert main([stage, "seed=1,2"]) == 1
    error = capsys.readouterr().err
    assert error == (
        f"ferlab: seed=1,2 has several values; start {stage} once with each, "
        "or write a list as key=[…]\n"
    )


def test_trainings_that_go_on_are_not_swept(capsys):
    assert main(["train", "-m", "resume=outputs/a,outputs/b"]) == 1
    said = "ferlab: resume= goes on with one run; start it once per run, without -m\n"
    assert capsys.readouterr().err == said


def start(*overrides: str) -> subprocess.Popen[str]:
    """Start `ferlab train` on tiny data, with the model that the overrides name."""
    data = [override for override in TINY if not override.startswith("model.layers")]
    return subprocess.Popen(
        [sys.executable, "-m", "ferlab", "train", *data, *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_twelve_jobs_killed_at_three_random_moments_come_to_what_they_would_have():
    twelve = ["-m", "model=A,B,C,D,E,F", "optimizer=adam,sgd", "trainer.max_epochs=2"]
    whole = start(*twelve, "hydra.sweep.dir=whole")
    out, _ = whole.communicate()
    assert whole.returncode == 0, out
    random_lines = random.Random(0)
    kept: dict[str, int] = {}
    for _ in range(3):
        process = start(*twelve, "hydra.sweep.dir=killed", "checkpoint.every=1batch")
        for _ in range(random_lines.randint(20, 150)):
            process.stdout.readline()
        process.kill()
        process.communicate()
        assert kept.items() <= finished_at(Path("killed")).items()
        kept = finished_at(Path("killed"))
    assert 0 < len(kept) < 12
    last = start(*twelve, "hydra.sweep.dir=killed", "checkpoint.every=1batch")
    out, _ = last.communicate()
    assert last.returncode == 0, out
    assert kept.items() <= finished_at(Path("killed")).items()
    assert jobs(Path("killed")) == jobs(Path("whole"))


@pytest.mark.slow
def test_jobs_run_side_by_side_under_joblib():
    """Each in a process with its share of the threads, to the same numbers."""
    alone = start("-m", "seed=0,1", "hydra.sweep.dir=alone")
    side_by_side = start(
        "-m",
        "seed=0,1",
        "hydra.sweep.dir=joblib",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    )
    for process in (alone, side_by_side):
        out, _ = process.communicate()
        assert process.returncode == 0, out
    assert "[seed=0] device  cpu (1 threads)" in out
    assert jobs(Path("joblib")) == jobs(Path("alone"))


RESIDENT = """
import sys
from ferlab.cli import main
from ferlab.running import entry

def measured(*arguments, run=entry._run_job):
    run(*arguments)
    with open("/proc/self/status") as status:
        print(next(line for line in status if line.startswith("RssAnon")), file=sys.stderr)

entry._run_job = measured
sys.exit(main(["train", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_from_job_to_job():
    jobs = ["-m", "seed=range(20)", "optimizer.lr=0.01", "trainer.max_epochs=1"]
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT, *TINY, *jobs],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    kilobytes = [int(line.split()[1]) for line in done.stderr.splitlines() if "RssAnon" in line]
    assert len(kilobytes) == 20
    assert kilobytes[-1] < 1.05 * kilobytes[2]


def test_a_job_that_another_process_works_on_is_left_to_it(train):
    command = ["-m", "seed=0,1", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    assert train(*command)[0] == 0
    other = RunFolder(Path("sweep/seed-0"))
    for folder in (other, RunFolder(Path("sweep/seed-1"))):
        folder.metrics.unlink()
    with other:
        other.open(read_yaml(other.config), {}, device="cpu")
        assert train(*command)[0] == 1
    assert [(row["job"], row["status"]) for row in jobs(Path("sweep"))] == [
        ("seed=0", "running"),
        ("seed=1", "finished"),
    ]
    assert not other.failure.exists()
    assert train(*command)[0] == 0


def test_a_finished_job_does_not_answer_for_other_data(train):
    assert train(*SEEDS, "hydra.sweep.dir=x")[0] == 0
    before = finished_at(Path("x"))
    environment = Path("x/seed-1/environment.json")
    digest = json.loads(environment.read_text())["data"]
    environment.write_text(environment.read_text().replace(digest, "0" * len(digest)))
    status, _, err = train(*SEEDS, "hydra.sweep.dir=x")
    assert status == 1
    assert "x/seed-1 was begun with other data (0000" in err
    assert "choose another hydra.sweep.dir" in err
    assert finished_at(Path("x")) == before
