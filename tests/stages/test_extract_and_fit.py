"""`ferlab extract_and_fit` on a tiny run."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import accuracy_score, f1_score

from ferlab.classical.fit import load_pipeline
from ferlab.cli import main
from ferlab.networks.files import load_network, save_network
from ferlab.running import fits

RUN = Path("outputs/train/tiny")
CLASSICAL = RUN / "classical"
OUT = Path("outputs/table")
FEW = ["classifier.random_forest.n_estimators=5", "run=F"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The place of a run's copy, filled by the first test that needs one."""
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def run(train, trained):
    if not trained.exists():
        status, _, err = train(
            "trainer.max_epochs=1",
            "augment=report",
            "augment.extra={disgust: 4, surprise: 0, angry: 2, fear: 0}",
            f"hydra.run.dir={trained}",
        )
        assert status == 0, err
    shutil.copytree(trained, RUN)
    return RUN


@pytest.fixture
def extract_and_fit(run, capfd):
    def call(*overrides, out=OUT):
        capfd.readouterr()
        status = main(["extract_and_fit", *FEW, f"hydra.run.dir={out}", *overrides])
        said, err = capfd.readouterr()
        return status, said, err

    return call


def read(path):
    return json.loads(path.read_text())


def stamps(*folders):
    return {
        path: path.stat().st_mtime_ns
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_run_gets_features_and_classifiers_and_the_table_is_written(extract_and_fit):
    status, said, err = extract_and_fit()
    assert status == 0, err
    assert {path.name for path in (RUN / "features/2").iterdir()} == {
        f"{split}.{end}" for split in ("train", "val", "test") for end in ("npy", "npz", "json")
    }
    common = {
        "config.yaml",
        "environment.json",
        "fit.log",
        "metrics.json",
        "predictions.npz",
        "report",
    }
    forest = CLASSICAL / "random_forest-n_estimators-5"
    assert {path.name for path in (CLASSICAL / "svm").iterdir()} == common | {"svm.skops"}
    assert {path.name for path in forest.iterdir()} == common | {"random_forest.skops"}
    assert (forest / "report/reliability.png").exists()
    assert not (CLASSICAL / "svm/report/reliability.png").exists()
    for expected in ("images per second", "peak memory", "svm: fitted on", "F          ferlab"):
        assert expected in said
    with (OUT / "report/table_3.csv").open(newline="") as file:
        (ours,) = csv.DictReader(file)  # the report's numbers are not of drawn faces
    metrics = read(OUT / "metrics.json")
    assert float(ours["svm"]) == metrics["F/svm/test/accuracy"]
    assert float(ours["network_alone"]) == metrics["F/network_alone/test/accuracy"]
    assert (OUT / "report/table_3.txt").read_text() in said + "\n"
    assert (OUT / "report/table_3.md").read_text().startswith("### Table 3")


def test_the_network_alone_is_what_its_training_recorded(extract_and_fit):
    extract_and_fit("classifiers=[svm]")
    recorded, found = read(RUN / "metrics.json"), read(OUT / "metrics.json")
    for name in ("val/accuracy", "test/accuracy", "test/clean/accuracy"):
        assert found[f"F/network_alone/{name}"] == recorded[name]
    assert found["F/network_alone/test/loss"] == pytest.approx(recorded["test/loss"], abs=1e-5)


def test_metrics_agree_with_scikit_learn(extract_and_fit):
    extract_and_fit()
    values = np.load(RUN / "features/2/test.npy")
    images = np.load(RUN / "features/2/test.npz")
    labels = images["labels"]
    for folder, name in (("svm", "svm"), ("random_forest-n_estimators-5", "random_forest")):
        metrics = read(CLASSICAL / folder / "metrics.json")
        predicted = load_pipeline(CLASSICAL / folder / f"{name}.skops").predict(values)
        assert metrics["test/accuracy"] == accuracy_score(labels, predicted)
        assert metrics["test/macro_f1"] == pytest.approx(
            f1_score(labels, predicted, average="macro", zero_division=0)
        )
        for part in ("public", "private", "clean"):
            chosen = images[part]
            assert metrics[f"test/{part}/accuracy"] == accuracy_score(
                labels[chosen], predicted[chosen]
            )
        assert ("test/loss" in metrics) == ("test/ece" in metrics) == (name == "random_forest")
    kept = np.load(CLASSICAL / "svm/predictions.npz")
    assert "test_probabilities" not in kept
    assert (
        accuracy_score(kept["test_labels"], kept["test_predicted"])
        == read(CLASSICAL / "svm/metrics.json")["test/accuracy"]
    )


def test_the_same_seed_gives_the_same_numbers(extract_and_fit):
    extract_and_fit()
    first = read(OUT / "metrics.json")
    shutil.rmtree(CLASSICAL)
    shutil.rmtree(RUN / "features")
    extract_and_fit(out="outputs/again")
    assert read(Path("outputs/again/metrics.json")) == first


def test_nothing_is_made_twice(extract_and_fit):
    extract_and_fit()
    before = stamps(CLASSICAL, RUN / "features")
    status, said, err = extract_and_fit(out="outputs/again")
    assert status == 0, err
    assert "fitted before" in said
    assert "features are there already" in said
    assert stamps(CLASSICAL, RUN / "features") == before
    assert read(Path("outputs/again/metrics.json")) == read(OUT / "metrics.json")
    assert "finished before" in extract_and_fit()[1]


def test_what_was_fitted_on_other_weights_is_refused_and_kept(extract_and_fit):
    extract_and_fit("classifiers=[svm]")
    before = stamps(CLASSICAL)
    network = load_network(RUN / "model")
    network.state_dict()["output.weight"].mul_(1.5)
    save_network(network, RUN / "model")
    status, said, err = extract_and_fit("classifiers=[svm]", out="outputs/again")
    assert status == 1
    assert "features made with other weights are made again" in said
    assert "svm belongs to another configuration: features." in err
    assert "weights" in err
    assert "delete it and start again" in err
    assert stamps(CLASSICAL) == before


def test_an_interruption_keeps_what_is_finished_and_the_next_start_goes_on(
    extract_and_fit, monkeypatch
):
    def interrupted(recipe, train):
        if recipe.name == "random_forest":
            raise KeyboardInterrupt
        return fit(recipe, train)

    fit = fits.fit
    monkeypatch.setattr(fits, "fit", interrupted)
    status, _, err = extract_and_fit()
    assert status == 130
    assert err.strip().splitlines()[-1].startswith("ferlab: interrupted")
    assert [path.name for path in CLASSICAL.iterdir()] == ["svm"]
    before = stamps(CLASSICAL, RUN / "features")
    monkeypatch.setattr(fits, "fit", fit)
    status, said, err = extract_and_fit()
    assert status == 0, err
    assert "svm: fitted before" in said
    assert "random_forest: fitted on" in said
    assert before.items() <= stamps(CLASSICAL, RUN / "features").items()


def test_a_sweep_keeps_its_results_apart(run):
    sweep = ["-m", "run=F", "classifiers=[svm]", "classifier.svm.C=0.1,1,10"]
    assert main(["extract_and_fit", *sweep, "hydra.sweep.dir=sweep"]) == 0
    assert {path.name for path in CLASSICAL.iterdir()} == {"svm", "svm-C-0.1", "svm-C-10"}
    assert len(list(Path("sweep").glob("*/metrics.json"))) == 3
    config = yaml.safe_load((CLASSICAL / "svm-C-10/config.yaml").read_text())
    assert config["classifier"]["svm"]["C"] == 10
    load_pipeline(CLASSICAL / "svm-C-10/svm.skops")


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_a_search_writes_what_it_tried(extract_and_fit):
    status, _, err = extract_and_fit("classifiers=[svm]", "+search.svm.C=[0.1,1.0]", "folds=2")
    assert status == 0, err
    tried = read(CLASSICAL / "svm-search-C-0.1_1.0-folds-2/search.json")
    assert {one["parameters"]["C"] for one in tried} == {0.1, 1.0}


def test_a_classifier_of_ones_own_is_kept_apart_by_its_values(extract_and_fit):
    own = ["classifiers=[knn]", "+classifier.knn._target_=sklearn.neighbors.KNeighborsClassifier"]
    for value in ("3", "5"):
        chosen = [
            *own,
            f"+classifier.knn.n_neighbors={value}",
            f"features.layer={value[0] > '4':d}",
        ]
        status, _, err = extract_and_fit(*chosen, out=f"outputs/{value}")
        assert status == 0, err
    assert {path.name for path in CLASSICAL.iterdir()} == {
        "knn-n_neighbors-3-layer-0",
        "knn-n_neighbors-5-layer-1",
    }


def test_augmented_features_add_the_plans_images(extract_and_fit):
    status, said, err = extract_and_fit("classifiers=[svm]", "features.augmented=true")
    assert status == 0, err
    assert len(np.load(RUN / "features/2/extra.npy")) == 6
    n_train = len(np.load(RUN / "features/2/train.npy"))
    assert f"svm: fitted on {n_train + 6} images" in said
    assert (CLASSICAL / "svm-augmented-True/metrics.json").exists()


def test_augmented_features_are_of_the_first_epochs_transforms(extract_and_fit):
    def added(refine):
        config = yaml.safe_load((RUN / "config.yaml").read_text())
        config["augment"]["refine"] = refine
        (RUN / "config.yaml").write_text(yaml.safe_dump(config))
        shutil.rmtree(RUN / "features", ignore_errors=True)
        out = f"hydra.run.dir=outputs/refine-{refine}"
        overrides = [f"classifier.svm.C={1 + refine}", "features.augmented=true", out]
        assert extract_and_fit("classifiers=[svm]", *overrides)[0] == 0
        return np.load(RUN / "features/2/extra.npy")

    assert not np.allclose(added(0.0), added(1.0))  # refined, they are flipped alone


def test_another_row_has_features_of_its_own(extract_and_fit):
    status, _, err = extract_and_fit("classifiers=[linear_svc]", "features.layer=1")
    assert status == 0, err
    assert np.load(RUN / "features/1/test.npy").shape[1] == 4 * 12 * 12
    assert [path.name for path in CLASSICAL.iterdir()] == ["linear_svc-layer-1"]


def test_several_runs_make_one_table(extract_and_fit):
    other = shutil.copytree(RUN, RUN.parent / "other")
    model = other / "model/model.yaml"
    model.write_text(model.read_text().replace("name: F", "name: C"))
    status, said, err = extract_and_fit("classifiers=[svm]", "run=[F,C]")
    assert status == 0, err
    assert "C          ferlab" in said
    metrics = read(OUT / "metrics.json")
    assert metrics["F/svm/test/accuracy"] == metrics["C/svm/test/accuracy"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run=Q", "there is no run=Q in outputs"),
        ("run=[]", "run must name at least one run"),
        ("classifiers=[svn]", "classifier has no 'svn', did you mean 'svm'?"),
        ("classifiers=svm", "classifiers must be a list such as [svm,random_forest]; got 'svm'"),
        ("classifier=svm", "there is no classifier to choose; name those you mean in classif"),
        ("features=null", "features is a group, not None; set what it holds, as features"),
        ("classifier.svm.C=-1", "classifier.svm: The 'C' parameter of SVC must be"),
        ("+classifier.svm.gama=1", "sklearn.svm.SVC has no gama; take classifier.svm.gama out"),
        ("classifier.svm=null", "classifier.svm must name a class with _target_; got None"),
        ("+search.svm.C=1", "search.svm.C must be a list of values; got 1"),
        ("search=5", "search must map classifiers to parameters; got 5"),
        ("features.layer=3", "features.layer must be an integer >= 0 and <= 2; got 3"),
        ("features.augmented=5", "features.augmented must be true or false; got 5"),
        ("data.eval_batch_size=0", "data.eval_batch_size must be an integer >= 1; got 0"),
        ("seed=-1", "seed must be an integer >= 0"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(extract_and_fit, override, message):
    before = stamps(RUN)
    status, _, err = extract_and_fit(override)
    assert status == 1
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("ferlab: ")
    assert message in err
    assert stamps(RUN) == before
    assert [path.name for path in Path("outputs").iterdir()] == ["train"]


def test_a_run_that_names_foreign_code_is_refused(extract_and_fit):
    config = yaml.safe_load((RUN / "config.yaml").read_text())
    config["data"]["source"]["_target_"] = "os.system"
    (RUN / "config.yaml").write_text(yaml.safe_dump(config))
    status, _, err = extract_and_fit()
    assert status == 1
    assert "names 'os.system', which ferlab does not ship" in err


def test_what_a_persons_own_file_changes_of_a_classifier_is_in_its_folders_name(extract_and_fit):
    mine = Path("mine/local/default.yaml")
    mine.parent.mkdir(parents=True)
    mine.write_text("classifier: {svm: {C: 0.5}}\n")
    status, _, err = extract_and_fit("classifiers=[svm]", "--config-dir=mine")
    assert status == 0, err
    assert [path.name for path in CLASSICAL.iterdir()] == ["svm-C-0.5"]
