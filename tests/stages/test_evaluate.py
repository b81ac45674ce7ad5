"""`ferlab evaluate`: runs judged anew, alone and together."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import TINY
from faces import make_csv, make_store, make_tree
from interruptions import at_first_prediction

from ferlab.cli import main
from ferlab.collecting import collect
from ferlab.networks.files import load_network, save_network
from ferlab.running.predict import predict
from ferlab.runs import RunFolder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, session_cache):
    """Two finished runs of tiny models, named one and other."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FERLAB_CACHE", str(session_cache))
        patch.chdir(folder)
        for name, rate in (("one", 0.002), ("other", 0.004)):
            layers = "model.layers=[{conv: 8, pool: 4}, flatten, {dense: 16}]"
            assert main(["train", *TINY, *named(name), layers, f"optimizer.lr={rate}"]) == 0
    return folder


def named(name):
    return [f"hydra.run.dir=outputs/train/{name}", f"model.name={name}"]


@pytest.fixture
def runs(trained):
    shutil.copytree(trained / "outputs", "outputs")
    return Path("outputs/train")


@pytest.fixture
def evaluate(capfd):
    """`ferlab evaluate` into `out`: overrides to exit status and standard error."""

    def run(*overrides):
        capfd.readouterr()
        fixed = ["trainer.accelerator=cpu", "trainer.precision=32-true", "hydra.run.dir=out"]
        return main(["evaluate", *fixed, *overrides]), capfd.readouterr().err

    return run


def metrics_in(folder):
    return json.loads(Path(folder, "metrics.json").read_text())


def probabilities_in(folder, split="test"):
    return np.load(Path(folder, "predictions.npz"))[f"{split}_probabilities"]


def test_what_was_judged_is_named_though_the_runs_data_are_others_by_now(runs, evaluate):
    environment = runs / "one/environment.json"
    environment.write_text(json.dumps({**json.loads(environment.read_text()), "data": "0" * 32}))
    assert evaluate("run=one")[0] == 0
    (entry,) = collect(["out"])[0]
    assert entry.data == "faces drawn by the program (not FER-2013)"


@pytest.mark.parametrize("name", ["one", "outputs/train/one"])
def test_a_run_comes_to_what_its_training_recorded(runs, evaluate, name):
    status, err = evaluate(f"run={name}")
    assert status == 0, err
    recorded, again = metrics_in(runs / "one"), metrics_in("out")
    assert again == {key: recorded[key] for key in again}
    assert {"val/accuracy", "test/accuracy", "test/public/accuracy", "test/ece"} <= again.keys()
    assert {path.name for path in Path("out/report").iterdir()} >= {
        "classification_report.txt",
        "confusion_matrix.png",
        "confusion_matrix.csv",
        "reliability.png",
        "mistakes.png",
    }


def test_latest_is_the_run_that_was_finished_last(runs, evaluate):
    assert evaluate()[0] == 0
    assert np.array_equal(probabilities_in("out"), probabilities_in(runs / "other"))


def test_a_finished_folder_tells_of_no_other_network(runs, evaluate):
    assert evaluate("run=outputs/train/one")[0] == 0
    assert evaluate("run=outputs/train/one")[0] == 0
    shutil.rmtree(runs / "one/model")
    shutil.copytree(runs / "other/model", runs / "one/model")
    status, err = evaluate("run=outputs/train/one")
    assert status == 1
    assert "out was begun with other weights" in err


def test_a_finished_folder_tells_of_no_other_images(runs, evaluate):
    make_tree(Path("faces"))
    assert evaluate("run=one", "data.root=faces")[0] == 0
    assert evaluate("run=one", "data.root=faces")[0] == 0
    next(Path("faces/test/happy").iterdir()).unlink()
    status, err = evaluate("run=one", "data.root=faces")
    assert (status, err.count("\n")) == (1, 1)
    assert "out was begun with other data" in err
    shutil.rmtree("faces")  # where there are none any more it stays what it is
    assert evaluate("run=one", "data.root=faces")[0] == 0


def test_a_sweep_judges_what_its_words_mean_today(runs, evaluate):
    sweep = ["evaluate", "-m", "augment.test_time=none,flip", "run=latest"]
    assert main(sweep) == 0
    (runs / "one/metrics.json").touch()
    assert main(sweep) == 0
    assert len(list(Path("outputs/evaluate").glob("test_time_*"))) == 2


def test_a_sweep_into_a_folder_of_other_networks_is_refused(runs, evaluate):
    sweep = ["-m", "augment.test_time=none,flip", "run=latest", "hydra.sweep.dir=x"]
    assert evaluate(*sweep)[0] == 0
    (runs / "one/metrics.json").touch()
    status, err = evaluate(*sweep)
    assert status == 1
    assert "was begun with other weights" in err


def test_the_report_names_the_data(runs, evaluate):
    assert evaluate("run=one")[0] == 0
    report = Path("out/report/classification_report.txt").read_text()
    assert report.startswith("Model one, faces drawn by the program (not FER-2013), test")


def test_the_folder_is_its_own_while_it_predicts(runs, evaluate, monkeypatch):
    busy = []
    monkeypatch.setattr(
        "ferlab.stages.evaluate.predict",
        lambda *given: busy.append(RunFolder(Path("out")).busy()) or predict(*given),
    )
    assert evaluate("run=one")[0] == 0
    assert busy == [True, True]


def test_several_runs_are_judged_by_the_mean_of_their_probabilities(runs, evaluate):
    status, err = evaluate("run=[one,other]")
    assert status == 0, err
    for split in ("val", "test"):
        mean = (probabilities_in(runs / "one", split) + probabilities_in(runs / "other", split)) / 2
        assert np.allclose(probabilities_in("out", split), mean, atol=1e-6)


def test_runs_that_were_validated_on_different_images_have_no_common_validation(
    runs, train, evaluate
):
    train(*named("third"), "data.val_fraction=0.2")
    status, err = evaluate("run=[one,third]")
    assert status == 0, err
    assert "val/accuracy" not in metrics_in("out")
    assert "test/accuracy" in metrics_in("out")


def test_that_one_of_several_runs_was_not_validated_is_said(runs, train, evaluate):
    alone = ["data.val_fraction=0", "scheduler=none", "callbacks.early_stopping=null"]
    train(*named("third"), *alone)
    assert evaluate("run=[one,third]")[0] == 0
    assert "val/accuracy" not in metrics_in("out")
    assert "not all of these runs have validation images" in Path("out/evaluate.log").read_text()


def test_runs_of_several_seeds_have_a_common_validation(runs, train, evaluate):
    train(*named("third"), "seed=1", "data.source.seed=0")
    status, err = evaluate("run=[one,third]")
    assert status == 0, err
    assert "val/accuracy" in metrics_in("out")


def test_an_older_run_is_judged_on_the_split_of_its_seed(runs, train, evaluate):
    train(*named("third"), "seed=1", "data.source.seed=0", "data.split_seed=1")
    recorded = runs / "third/config.yaml"
    recorded.write_text(recorded.read_text().replace("  split_seed: 1\n", ""))
    assert evaluate("run=third")[0] == 0
    judged = [
        np.load(place / "predictions.npz")["val_names"] for place in (Path("out"), recorded.parent)
    ]
    assert np.array_equal(*judged)


def test_runs_with_different_test_images_are_not_averaged(runs, train, evaluate):
    train(*named("third"), "data.source.seed=5")
    status, err = evaluate("run=[one,third]")
    assert status == 1
    assert "these runs have different test images; name some for all" in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_other_views_may_be_named_than_those_of_the_training(runs, evaluate):
    assert evaluate("run=one", "augment.test_time=flip")[0] == 0
    flipped = probabilities_in("out")
    assert not np.allclose(flipped, probabilities_in(runs / "one"))
    assert np.allclose(flipped.sum(axis=1), 1, atol=1e-5)


def test_a_model_alone_is_judged_on_the_data_that_are_named(runs, evaluate, tmp_path):
    make_tree(tmp_path / "faces")
    shutil.copytree(runs / "one/model", "weights/one")
    status, err = evaluate("run=weights/one", "data.root=faces")
    assert status == 0, err
    assert metrics_in("out")["test/images"] == 28
    assert not any(name.startswith("val") for name in metrics_in("out"))  # its split is not known


def test_a_model_alone_is_judged_where_there_are_no_training_images(runs, evaluate):
    header, *lines = make_csv(Path("all.csv"), make_store(2)).read_text().splitlines()
    public = [line for line in lines if line.endswith("PublicTest")]
    Path("public.csv").write_text("\n".join([header, *public]))
    status, err = evaluate("run=outputs/train/one/model", "data.root=public.csv")
    assert status == 0, err
    assert metrics_in("out")["test/images"] == len(public)


def test_a_model_alone_is_judged_by_the_views_that_it_was_trained_for(runs, evaluate, train):
    make_tree(Path("faces"))
    train(*named("third"), "augment.test_time=flip")
    shutil.copytree("outputs/train/third/model", "weights/flip")
    for name, overrides in {"own": [], "none": ["augment.test_time=none"]}.items():
        assert evaluate("run=weights/flip", "data.root=faces", *overrides)[0] == 0
        shutil.move("out", name)
    assert evaluate("run=weights/flip", "data.root=faces", "augment.test_time=flip")[0] == 0
    assert np.array_equal(probabilities_in("own"), probabilities_in("out"))
    assert not np.array_equal(probabilities_in("own"), probabilities_in("none"))


def test_other_data_than_the_runs_own_have_no_validation_split(runs, evaluate, tmp_path):
    make_tree(tmp_path / "faces")
    assert evaluate("run=one", "data.root=faces")[0] == 0
    assert not any(name.startswith("val") for name in metrics_in("out"))
    said = Path("out/evaluate.log").read_text()
    assert (
        "others than those that outputs/train/one was trained on; its own with data.root=null"
        in said
    )


def change_config(runs, change):
    path = runs / "one/config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def test_a_source_of_ones_own_needs_no_cache(runs, evaluate):
    source = {"_target_": "faces.make_store", "_partial_": True, "n_per_class": 3}
    change_config(runs, lambda config: config["data"].update(source=source))
    status, err = evaluate("run=one", "trust=true")
    assert status == 0, err
    assert metrics_in("out")["test/images"] == 42


def test_what_a_foreign_configuration_names_is_not_run(runs, evaluate):
    change_config(
        runs,
        lambda config: config["data"].update(
            source={"_target_": "os.system", "command": "touch owned"}
        ),
    )
    status, err = evaluate("run=one")
    assert status == 1
    assert "names 'os.system', which ferlab does not ship" in err
    assert not Path("owned").exists()
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("run=three", "there is no run=three in outputs"),
        ("run=ohter", "did you mean 'other'?"),
        ("run=outputs", "is not a run: it holds no model"),
        ("run=[]", "run must name at least one run"),
        ("run=[one,outputs/train/one]", "names outputs/train/one twice; name it once"),
        ("augment.test_time=tencrop", "augment.test_time must be one of none, flip, ten_crop"),
        ("run=latest runs=[nowhere]", "there is no run=latest in nowhere"),
        ("run=latest runs=outputs", "runs must be a list of folders such as [outputs]; got 'out"),
        ("runs=null", "runs must be a list of folders such as [outputs]; got None"),
        ("trust=no", "trust must be true or false; got 'no'"),
        ("data.root=nowhere", "data.root=nowhere does not exist"),
        ("augment=none", "augment is no group of evaluate; set what it holds, as augment.test_ti"),
        ("+data=drawn", "there is no data.title; data has root, cache, eval_batch_size"),
        ("+data.limit=20", "there is no data.limit; data has root, cache, eval_batch_size"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(runs, evaluate, override, said):
    status, err = evaluate(*override.split())
    assert status == 1
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("out").exists()


def damage(name, content):
    def change(runs):
        (runs / "one" / name).write_bytes(content)

    return change


@pytest.mark.parametrize(
    "change",
    [
        damage("config.yaml", b"a: ["),
        damage("config.yaml", b"seed: 0"),
        damage("config.yaml", b"!!python/object/apply:os.system ['touch owned']"),
        damage("model/model.yaml", b"layers: []"),
        damage("model/model.safetensors", b"\x08\0\0\0\0\0\0\0{}"),
        damage("environment.json", b"{"),
        lambda runs: (runs / "one/model/model.safetensors").unlink(),
    ],
)
def test_a_damaged_run_is_one_line_that_names_the_file(runs, evaluate, change):
    change(runs)
    status, err = evaluate("run=outputs/train/one")
    assert status == 1
    assert len(err.strip().splitlines()) == 1
    assert "outputs/train/one" in err
    assert not Path("owned").exists()
    assert not Path("out").exists()


def test_a_signal_ends_it_in_one_line_and_the_same_command_begins_anew(runs, evaluate, monkeypatch):
    at_first_prediction(monkeypatch, lambda: signal.raise_signal(signal.SIGTERM))
    status, err = evaluate("run=one")
    assert status == 130
    assert "\nSIGTERM: once more stops at once\n" in err
    assert "\nferlab: stopped by SIGTERM; go on with: ferlab evaluate " in err
    assert not Path("out").exists()
    assert evaluate("run=one")[0] == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_network_that_diverged_is_one_line_and_leaves_no_folder(runs, evaluate):
    network = load_network(runs / "one/model")
    network.output.bias.data[0] = float("nan")
    save_network(network, runs / "one/model")
    status, err = evaluate("run=one")
    assert status == 1
    assert len(err.strip().splitlines()) == 1
    assert not Path("out").exists()
