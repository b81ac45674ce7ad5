"""What lies in run folders, collected: each kind, and what is left out with its reason."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from mistakes import mistake_of
from recorded import write_classifier, write_evaluation, write_run

from ferlab.collecting import collect
from ferlab.runs import RunFolder


@pytest.fixture
def run():
    return write_run(Path("outputs/train/F-adam/one"), "F", accuracy=0.7)


def collected():
    """Return the entries below `outputs` by their folder."""
    return {entry.folder: entry for entry in collect(["outputs"])[0]}


def reason():
    """Return why the only folder that is left out was left out."""
    ((folder, said),) = collect(["outputs"])[1].items()
    assert folder == "outputs/train/F-adam/one"
    assert len(said.splitlines()) == 1
    return said


def test_a_run_tells_what_it_is_and_what_it_came_to(run):
    (entry,) = collected().values()
    recorded = json.loads((run / "metrics.json").read_text())
    assert (entry.kind, entry.model, entry.optimizer) == ("run", "F", "adam")
    assert (entry.augmentation, entry.seed, entry.data) == ("report", 0, "FER-2013")
    assert (entry.parameters, round(entry.macs / 1e6, 1)) == (4_478_727, 290.5)
    assert (entry.epochs, entry.seconds, len(entry.history)) == (5, 62.5, 5)
    assert {name: score.accuracy for name, score in entry.scores.items()} == {
        "train": recorded["train/accuracy"],
        "val": recorded["val/accuracy"],
        "test": recorded["test/accuracy"],
        "public": recorded["test/public/accuracy"],
        "private": recorded["test/private/accuracy"],
        "clean": recorded["test/clean/accuracy"],
    }
    assert entry.test_set == "FER-2013, PublicTest and PrivateTest, 140 images"
    assert entry.value("macro_f1") == recorded["test/macro_f1"]
    assert entry.value("val_loss") == recorded["val/loss"]


def test_how_many_processes_trained_a_run_is_told_where_there_were_several(run):
    environment = run / "environment.json"
    recorded = json.loads(environment.read_text())
    computed = [recorded[key] for key in ("accelerator", "precision") if key in recorded]
    for processes, said in (("1", computed), ("2", [*computed, "2 processes"])):
        environment.write_text(json.dumps({**recorded, "processes": processes}))
        (entry,) = collected().values()
        assert entry.computed == ", ".join(said)


def test_a_run_of_a_sweep_is_called_so():
    write_run(Path("outputs/sweeps/mine/model-A"))
    Path("outputs/sweeps/mine/multirun.yaml").touch()
    assert collected()["outputs/sweeps/mine/model-A"].kind == "sweep job"


def test_an_evaluation_says_which_runs_it_judged(run):
    other = write_run(Path("outputs/train/A-sgd/one"), "A", "sgd")
    single = write_evaluation(Path("outputs/evaluate/single"), run, view="ten_crop")
    write_evaluation(Path("outputs/evaluate/both"), run, other, view=None)
    entries = collected()
    alone, both = entries[str(single)], entries["outputs/evaluate/both"]
    assert (alone.kind, alone.model, alone.seed) == ("evaluation", "F", 0)
    assert alone.details == "of F-adam/one, ten_crop"
    assert alone.judged == (run,)
    assert (both.model, both.optimizer, both.seed) == ("F, A", "adam, sgd", None)
    assert both.details == "of F-adam/one, A-sgd/one"
    assert both.parameters == entries[str(run)].parameters + entries[str(other)].parameters


def test_an_evaluation_outlives_its_run(run):
    other = write_run(Path("outputs/train/A-sgd/one"), "A", "sgd")
    both = write_evaluation(Path("outputs/evaluate/both"), run, other)
    shutil.rmtree(other)
    entry = collected()[str(both)]
    assert (entry.model, entry.parameters, entry.macs) == ("F, one", None, None)


def test_an_evaluation_finds_its_run_from_another_folder(run, monkeypatch):
    write_evaluation(Path("outputs/evaluate/a"), run)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    entries, left_out = collect(["../outputs"])
    assert [entry.kind for entry in entries] == ["evaluation", "run"]
    assert not left_out


def test_a_classifier_belongs_to_its_run(run):
    write_classifier(run, "svm")
    entry = collected()[f"{run}/classical/svm"]
    assert (entry.kind, entry.model, entry.optimizer) == ("classifier", "F + svm", "adam")
    assert entry.judged == (run,)
    assert entry.parameters is None


def test_a_classifier_judged_on_other_data_is_not_said_to_be_of_the_runs(monkeypatch):
    run = write_run(Path("outputs/train/F-adam/one"), "F", changes={"data.title": "mine"})
    file = write_classifier(run, "svm") / "environment.json"
    assert collected()[f"{run}/classical/svm"].data == "mine"
    file.write_text(json.dumps({**json.loads(file.read_text()), "data": "1" * 32}))
    assert collected()[f"{run}/classical/svm"].data == "FER-2013"
    file.write_text(json.dumps({**json.loads(file.read_text()), "title": "others"}))
    assert collected()[f"{run}/classical/svm"].data == "others"
    monkeypatch.chdir(run / "classical")
    (entry,) = collect(["."])[0]
    assert entry.model == "F + svm"


def test_details_are_the_settings_that_tell_namesakes_apart():
    for name, changes in {"a": {}, "b": {"optimizer.lr": 0.25}, "c": {"scheduler": None}}.items():
        write_run(Path("outputs") / name, changes=changes)
    write_run(Path("outputs/other"), "B")
    details = {folder: entry.details for folder, entry in collected().items()}
    assert details["outputs/other"] == ""
    assert details["outputs/a"] == ""  # it is as most are
    assert details["outputs/b"] == "optimizer.lr=0.25"
    assert details["outputs/c"] == "scheduler=none"


def test_what_an_early_version_did_not_record_is_no_difference(run):
    early = write_run(Path("outputs/early"), "F")
    config = yaml.safe_load((early / "config.yaml").read_text())
    del config["loss"], config["augment"]["refine"]
    (early / "config.yaml").write_text(yaml.safe_dump(config))
    metrics = json.loads((early / "metrics.json").read_text())
    kept = {key: value for key, value in metrics.items() if not key.endswith("/images")}
    (early / "metrics.json").write_text(json.dumps(kept))
    entry = collected()["outputs/early"]
    assert entry.details == ""
    assert entry.augmentation == "report"
    assert {name: score.images for name, score in entry.scores.items()} == {
        "train": None,
        "val": 70,
        "test": 140,
        "public": 70,
        "private": 70,
        "clean": 124,  # counted in its predictions
    }


def test_changed_augmentation_is_not_called_by_the_shipped_name():
    write_run(Path("outputs/a"), augment="standard")
    write_run(Path("outputs/b"), augment="standard", changes={"augment.test_time": "flip"})
    write_run(Path("outputs/c"), augment="standard", changes={"augment.mixup": 0.2})
    names = [entry.augmentation for entry in collected().values()]
    assert names == ["standard", "standard", "own"]


def test_a_folder_is_listed_once_however_often_it_is_named(run):
    entries, _ = collect(["outputs", "outputs/train", str(run)])
    assert len(entries) == 1


def test_runs_are_found_below_folders_that_are_called_as_a_runs_own(run):
    for name in ("report", "features", "model", "checkpoints"):
        write_run(Path("outputs", name, "one"))
    assert len(collected()) == 5


def test_the_folders_of_other_stages_are_passed_over(run):
    for stage in ("explore", "compare", "tune", "extract_and_fit"):
        place = Path("outputs") / stage
        place.mkdir()
        (place / "metrics.json").write_text('{"images": 3}')
        (place / f"{stage}.log").touch()
    entries, left_out = collect(["outputs"])
    assert len(entries) == 1
    assert not left_out


def put(name, text):
    return lambda run: (run / name).write_text(text)


def remove(*names):
    def change(run):
        for name in names:
            (run / name).unlink()

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("metrics.json", '{"val/accur'), "metrics.json is damaged"),
        (put("metrics.json", '[{"acc": 0.5}]'), "metrics.json is damaged"),
        (put("metrics.json", '{"val/accuracy": "0.5"}'), "metrics.json is damaged"),
        (put("metrics.json", '{"val/accuracy": 1e999}'), "metrics.json says of val what cannot be"),
        (put("metrics.json", '{"val/accuracy": 64.07}'), "metrics.json says of val what cannot be"),
        (
            put("metrics.json", '{"test/accuracy": 0.5, "test/images": 0}'),
            "metrics.json says of test what cannot be",
        ),
        (put("metrics.json", '{"val_acc": 0.5}'), "metrics.json has no accuracy that this version"),
        (put("config.yaml", "seed: 0"), "config.yaml is not one that this version of ferlab knows"),
        (put("config.yaml", "a: ["), "config.yaml is damaged"),
        (put("config.yaml", "a: !!bool x"), "config.yaml is damaged"),
        (put("config.yaml", "!!python/object/apply:os.system ['touch owned']"), "is damaged"),
        (put("environment.json", "{"), "environment.json is damaged"),
        (put("model/model.yaml", "layers: []"), "model.yaml"),
        (put("model/model.yaml", "a: !!set"), "model.yaml"),
        (remove("model/model.safetensors"), "it has no model: model/model.safetensors is missing"),
        (lambda run: shutil.rmtree(run / "model"), "it has no model: model/model.yaml is missing"),
        (remove("metrics.json"), "not finished"),
        (remove("train.log"), "of an unknown kind"),
        (remove("config.yaml"), "has no config.yaml"),
    ],
)
def test_what_cannot_be_compared_is_named_and_hinders_nothing_else(run, change, said):
    write_run(Path("outputs/whole"))
    change(run)
    assert said in reason()
    assert list(collected()) == ["outputs/whole"]
    assert not Path("owned").exists()


def test_a_run_that_is_being_written_is_left_out(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    with RunFolder(run) as folder:
        folder.open(config, {}, device="cpu")
        assert reason() == "is being written at this moment"
    assert list(collected()) == [str(run)]


def test_a_failed_job_of_a_sweep_is_left_out_with_its_own_reason(run):
    (run / "metrics.json").unlink()
    (run / "failure.txt").write_text("the loss is not a number\n")
    assert reason() == "failed: the loss is not a number"


@pytest.mark.parametrize(
    "text", ["epoch,train/loss\n1,", "step,seconds\n1,2\n", "epoch\nnan\n", "a" * 200_000]
)
def test_a_run_without_its_history_is_compared_all_the_same(run, text):
    (run / "history.csv").write_text(text)
    (entry,) = collected().values()
    assert (entry.seconds, list(entry.history)) == (None, [])


def test_a_missing_folder_is_a_mistake():
    assert "there is no folder nowhere" in mistake_of(collect, ["nowhere"])
