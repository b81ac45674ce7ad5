"""Trainings whose labels are in part the predictions of trained networks."""

import csv
import dataclasses
import runpy
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, Outcome
from interruptions import PowerCut, at_batch, at_first_prediction, cut_power
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file

from ferlab.cli import main
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.splits import assign_folds
from ferlab.data.store import SPLITS, ImageStore
from ferlab.distillation.distil import Teachers
from ferlab.distillation.labels import load_labels
from ferlab.distillation.teachers import find_teachers
from ferlab.emotions import EMOTIONS
from ferlab.files import read_json, write_json
from ferlab.instantiate import plain
from ferlab.learning.tensors import write_tensors
from ferlab.networks.files import load_network, save_network
from ferlab.running.compose import make_data
from ferlab.running.split import shipped_split_settings
from ferlab.runs import RunFolder

SCRIPTS = Path(__file__).parents[2] / "scripts"
HAPPY = EMOTIONS.index("happy")
ENOUGH = "data.size=280"  # faces, for each fold to leave some of each class
ALL_OF_IT = "distillation.share=1"
OF_OTHER_IMAGES = {"rows": torch.arange(3), "probabilities": torch.zeros(3, 7)}


@pytest.fixture
def teacher(finished):
    """The folder of a trained network."""
    finished("teacher")
    return Path("teacher")


@pytest.fixture
def happy(teacher):
    """The folder of a network alone, to which every face is happy."""
    network = load_network(teacher / "model")
    network.output.weight.data.zero_()
    network.output.bias.data[HAPPY] = 20.0
    save_network(network, Path("happy"))
    return Path("happy")


@pytest.fixture
def shipped(teacher):
    """The folder of weights that are known as shipped ones are."""
    shutil.copytree(teacher / "model", "shipped")
    write_json(Path("shipped/metrics.json"), {"val/accuracy": 0.5})
    return Path("shipped")


def history(folder, column):
    with (Path(folder) / "history.csv").open(newline="") as file:
        return [float(row[column]) for row in csv.DictReader(file)]


def named(*folders):
    return f"distillation.teachers=[{','.join(map(str, folders))}]"


def test_a_network_learns_what_its_teacher_says(happy, train):
    status, out, err = train(named(happy), ALL_OF_IT, "optimizer.lr=0.01", "hydra.run.dir=run")
    assert status == 0, err
    assert "teacher happy labels the train images" in out
    assert history("run", "train/accuracy")[-1] == 1.0  # of labels that are happy, every one


def test_what_validates_keeps_its_labels(happy, train):
    status, _, err = train(named(happy), ALL_OF_IT, "optimizer.lr=0.01", "hydra.run.dir=run")
    assert status == 0, err
    predictions = np.load("run/predictions.npz", allow_pickle=False)
    assert set(predictions["val_probabilities"].argmax(axis=1)) == {HAPPY}
    true = float((predictions["val_labels"] == HAPPY).mean())
    assert 0 < true < 1
    assert history("run", "val/accuracy")[-1] == pytest.approx(true)


def test_teachers_without_a_share_change_nothing(teacher, happy, train):
    status, _, err = train(named(teacher, happy), "distillation.share=0", "hydra.run.dir=run")
    assert status == 0, err
    for column in ("train/loss", "train/accuracy", "val/loss", "val/accuracy"):
        assert history("run", column) == pytest.approx(history(teacher, column), rel=1e-4)


def test_a_soft_label_is_the_mean_of_what_the_teachers_say_of_its_image(happy, teacher):
    network = load_network(teacher / "model")
    save_network(network, Path("views"), test_time="flip")
    recorded = yaml.safe_load((teacher / "config.yaml").read_text())
    recorded["distillation"] = {"teachers": ["views", str(happy)], "share": 0.6}
    data = make_data(OmegaConf.create(recorded))
    Teachers(recorded, RunFolder(Path("run"))).label(data, recorded)

    rows = data.rows("train")
    images = torch.from_numpy(data.store.images[rows]).float() / 255
    with torch.no_grad():
        as_it_is, mirrored = (network(view).softmax(dim=1) for view in (images, images.flip(3)))
        said = [(as_it_is + mirrored) / 2, load_network(happy)(images).softmax(dim=1)]
    assert not torch.allclose(as_it_is, mirrored, atol=1e-4)
    own = torch.eye(7)[torch.from_numpy(data.store.labels[rows])]
    expected = 0.4 * own + 0.6 * (said[0] + said[1]) / 2
    assert torch.allclose(data.soft_labels, expected, atol=1e-5)


@pytest.mark.parametrize("batch", [0, 3])
def test_a_training_that_was_cut_off_goes_on_as_if_nothing_had_happened(
    teacher, train, monkeypatch, batch
):
    command = (named(teacher), "checkpoint.every=1 batches")
    train(*command, "hydra.run.dir=whole")
    at_batch(monkeypatch, 1, batch, cut_power)
    with pytest.raises(PowerCut):
        train(*command, "hydra.run.dir=cut")
    status, out, _ = train(*command, "hydra.run.dir=cut")
    assert status == 0
    assert "labels the train images" not in out  # it had said what it says
    Outcome(Path("cut")).assert_equal(Outcome(Path("whole")))


@pytest.mark.parametrize("content", [b"PK", OF_OTHER_IMAGES])
def test_teachers_predict_anew_where_the_file_of_their_labels_is_of_no_use(
    teacher, train, monkeypatch, content
):
    train(named(teacher), "hydra.run.dir=whole")
    at_batch(monkeypatch, 1, 0, cut_power)
    with pytest.raises(PowerCut):
        train(named(teacher), "hydra.run.dir=cut")
    kept = RunFolder(Path("cut")).teachers
    if isinstance(content, bytes):
        kept.write_bytes(content)
    else:
        write_tensors(kept, content)
    status, out, _ = train(named(teacher), "hydra.run.dir=cut")
    assert status == 0
    assert "labels the train images" in out
    Outcome(Path("cut")).assert_equal(Outcome(Path("whole")))


def test_a_training_does_not_go_on_with_another_teacher_of_the_same_name(
    happy, teacher, train, monkeypatch
):
    at_batch(monkeypatch, 1, 0, cut_power)
    with pytest.raises(PowerCut):
        train(named(happy), "hydra.run.dir=run")
    shutil.rmtree(happy)
    shutil.copytree(teacher / "model", happy)
    status, _, err = train(named(happy), "hydra.run.dir=run")
    assert status == 1
    assert "run was begun with other teachers" in err


@pytest.mark.parametrize("command", ["train", "train -m", "tune"])
def test_what_is_finished_is_not_taken_for_the_work_of_another_teacher(
    happy, teacher, capfd, command
):
    stage, *swept = command.split()
    of_stage = {"train": [], "train -m": ["seed=0,1", "hydra.sweep.dir=run"]}
    arguments = [named(happy), *of_stage.get(command, ["tune.trials=1"])]
    arguments += [] if swept else ["hydra.run.dir=run"]
    again = [stage, *swept, *TINY, *arguments, "data.source.seed=0", "trainer.max_epochs=1"]
    assert main(again) == 0
    shutil.move(happy, "elsewhere")
    assert main(again) == 0  # it is what it was
    shutil.copytree(teacher / "model", happy)
    assert main(again) == 1
    assert "begun with other teachers" in capfd.readouterr().err


def test_a_signal_while_teachers_label_ends_it_with_the_command_that_goes_on(
    teacher, train, monkeypatch
):
    at_first_prediction(monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    status, _, err = train(named(teacher), "hydra.run.dir=run")
    assert status == 130
    assert "ferlab: stopped by SIGINT; go on with: ferlab train " in err
    assert train(named(teacher), "hydra.run.dir=run")[0] == 0


def test_the_folder_of_a_sweep_stands_for_all_its_runs(train):
    same_faces = "data.source.seed=0"
    assert train("-m", "seed=0,1", same_faces, "hydra.sweep.dir=sweep")[0] == 0
    status, out, err = train("distillation.teachers=[sweep]", same_faces, "hydra.run.dir=run")
    assert status == 0, err
    assert out.count("labels the train images") == 2


def folds(finished):
    """Return two trainings of which each left out half of the train images."""
    for fold in ("0", "1"):
        finished(f"fold{fold}", ENOUGH, "data.folds=2", f"data.fold={fold}")
    return ["fold0", "fold1"]


def labelled(*teachers):
    """Return the datamodule and its labels, all of them what the teachers say."""
    recorded = yaml.safe_load(Path("fold0/config.yaml").read_text())
    recorded["data"]["folds"] = None
    recorded["distillation"] = {"teachers": list(teachers), "share": 1}
    data = make_data(OmegaConf.create(recorded))
    named_ones = Teachers(recorded, RunFolder(Path("run")))
    named_ones.check_data(data)
    named_ones.label(data, recorded)
    return data, data.soft_labels


def test_images_that_a_teacher_was_trained_on_are_labelled_by_others_where_there_are_any(finished):
    names = folds(finished)
    data, soft = labelled(*names)
    rows = data.rows("train")
    images = torch.from_numpy(data.store.images[rows]).float() / 255
    with torch.no_grad():
        said = [load_network(Path(name, "model"))(images).softmax(dim=1) for name in names]
    halves = assign_folds(data.store.labels[rows], data.store.hashes[rows], 2, seed=0)
    assert torch.allclose(soft[halves == 0], said[0][halves == 0], atol=1e-5)
    assert torch.allclose(soft[halves == 1], said[1][halves == 1], atol=1e-5)
    assert not torch.allclose(said[0], said[1], atol=1e-3)


def test_a_fold_that_nobody_left_out_is_labelled_by_all(finished):
    names = folds(finished)
    data, soft = labelled(names[0])
    images = torch.from_numpy(data.store.images[data.rows("train")]).float() / 255
    with torch.no_grad():
        said = load_network(Path(names[0], "model"))(images).softmax(dim=1)
    assert torch.allclose(soft, said, atol=1e-5)


def ship_labels(*arguments):
    return runpy.run_path(str(SCRIPTS / "ship_labels.py"))["main"](list(arguments))


def of_a_commit(*names):
    for name in names:
        recorded = read_json(Path(name, "environment.json"))
        write_json(Path(name, "environment.json"), {**recorded, "commit": "a" * 40})


def test_shipped_labels_are_those_of_the_networks_without_them(finished, train):
    names = folds(finished)
    of_a_commit(*names)
    of_few = ["data.limit=140", "data.folds=2", "data.twins=drop_from_train"]  # not of labels
    assert ship_labels("mine", *names, *TINY, ENOUGH, *of_few) == 0
    data, soft = labelled("weights/mine")
    _, by_networks = labelled(*names)
    assert torch.allclose(soft, by_networks, atol=1e-3)  # fp16
    page = Path("weights/mine/README.md").read_text()
    assert "2 networks that were not trained on the image" in page
    assert page.count("    python train.py data=drawn") == 2
    assert train(named("weights/mine"), ENOUGH, "hydra.run.dir=pupil")[0] == 0
    everything = ["data.val_fraction=0", "scheduler=none", "callbacks.early_stopping=null"]
    assert train(named("weights/mine"), ENOUGH, *everything, "hydra.run.dir=all")[0] == 0


def test_labels_do_not_take_the_place_of_weights(finished, capsys):
    Path("weights/mine").mkdir(parents=True)
    Path("weights/mine/model.yaml").touch()
    finished("one")
    assert ship_labels("mine", "one", *TINY) == 1
    assert capsys.readouterr().err == "ferlab: weights/mine holds a network; choose another NAME\n"


def test_an_older_run_of_the_same_split_teaches_too(teacher, train):
    config = yaml.safe_load((teacher / "config.yaml").read_text())
    del config["data"]["split_seed"], config["distillation"]  # its split followed its seed, 0
    (teacher / "config.yaml").write_text(yaml.safe_dump(config))
    assert train(named(teacher), "hydra.run.dir=run")[0] == 0


def test_an_older_training_goes_on_without_teachers(train, monkeypatch):
    at_batch(monkeypatch, 1, 0, cut_power)
    with pytest.raises(PowerCut):
        train("hydra.run.dir=run")
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    del config["distillation"]
    Path("run/config.yaml").write_text(yaml.safe_dump(config))
    assert main(["train", "resume=run"]) == 0


def test_of_weights_alone_it_is_said_that_nobody_knows_what_they_have_seen(shipped, train):
    def is_said(split_seed):
        _, out, _ = train(named(shipped), f"data.split_seed={split_seed}", "hydra.run.dir=run")
        shutil.rmtree("run")
        return "shipped does not tell which images it was trained on" in out

    assert not is_said(0)
    assert is_said(1)
    (shipped / "metrics.json").unlink()
    assert is_said(0)
    write_json(shipped / "metrics.json", {"val/accuracy": 0.5})
    save_network(load_network(shipped), shipped)  # without the images that it was trained on
    assert is_said(0)


def test_of_weights_that_were_trained_on_other_images_it_is_said_where_some_validate(
    shipped, train
):
    command = [named(shipped), "data.size=210", "callbacks.early_stopping=null", "scheduler=none"]
    for fraction, is_said in (("0.1", True), ("0", False)):
        split = [f"data.val_fraction={fraction}", f"hydra.run.dir=run-{fraction}"]
        status, out, err = train(*command, *split)
        assert status == 0, err
        assert ("shipped was trained on other images than these" in out) is is_said


def test_a_search_labels_once_and_trains_its_trials_so(happy, teacher, capfd):
    command = [named(happy), ALL_OF_IT, "tune.startup=1", "tune.pruner=none"]
    command += ["tune.space.data.batch_size=null", "hydra.run.dir=tune"]
    command += ["tune.space.optimizer.lr.low=0.01", "tune.space.optimizer.lr.high=0.02"]
    assert main(["tune", *TINY, *command, "tune.trials=3"]) == 0
    assert capfd.readouterr().out.count("labels the train images") == 1
    with Path("tune/trials.csv").open(newline="") as file:
        found = [float(row["val/accuracy"]) for row in csv.DictReader(file)]
    labels = np.load(teacher / "predictions.npz", allow_pickle=False)["val_labels"]
    assert found == pytest.approx([(labels == HAPPY).mean()] * 3)


def test_a_trial_with_an_impossible_share_fails(happy, capfd):
    command = [named(happy), "+tune.space.distillation.share={choices: [1.5]}", "tune.trials=1"]
    assert main(["tune", *TINY, *command, "hydra.run.dir=tune"]) == 1
    with Path("tune/trials.csv").open(newline="") as file:
        (trial,) = csv.DictReader(file)
    assert trial["reason"] == "distillation.share must be a number >= 0 and <= 1; got 1.5"


def test_a_search_does_not_go_on_with_another_teacher_of_the_same_name(happy, teacher, capfd):
    command = ["tune", *TINY, named(happy), "trainer.max_epochs=1", "hydra.run.dir=tune"]
    assert main([*command, "tune.trials=1"]) == 0
    shutil.rmtree(happy)
    shutil.copytree(teacher / "model", happy)
    assert main([*command, "tune.trials=2"]) == 1
    assert "tune was begun with other teachers" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["distillation.teachers=[nowhere]"], "there is no folder nowhere"),
        (["distillation.teachers=[latest]"], "there is no folder latest"),
        (["distillation.teachers=teacher"], "must be a list of folders; got 'teacher'"),
        (["distillation.teachers=[teacher,teacher/model]"], "teacher/model is the same as teacher"),
        (["distillation.teachers=[1]"], "must be a list of folders; got [1]"),
        (["distillation.teachers=[teacher]", "distillation.share=1.5"], "distillation.share must"),
        (["~distillation.share"], "distillation.share must"),
        (["distillation=5"], "distillation must have teachers and share; got 5"),
        (["+distillation.temperature=2"], "distillation has no 'temperature'"),
        (["distillation.teachers=[teacher]", "data.split_seed=1"], "data.split_seed=0"),
        (["distillation.teachers=[teacher/model]", "data.split_seed=1"], "data.split_seed=0"),
        (["distillation.teachers=[teacher]", "data.limit=70"], "with data.limit=null, so it may"),
        (["distillation.teachers=[teacher]", "data.twins=drop_from_train"], "data.twins=keep"),
        (["distillation.teachers=[teacher]", "data.blank=drop"], "data.blank=keep"),
        (["distillation.teachers=[teacher]", "data.size=210"], "was trained on other data"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(teacher, train, overrides, said):
    status, out, err = train(*overrides, "hydra.run.dir=run")
    assert status == 1
    assert err.startswith("ferlab: distillation")
    assert said in err
    assert err.count("\n") == 1
    assert "epoch" not in out
    assert not Path("run").exists()


DAMAGE = {
    "no network": lambda folder: shutil.rmtree(folder / "model"),
    "half of the weights": lambda folder: (folder / "model/model.safetensors").write_bytes(b"1"),
    "no configuration of a run": lambda folder: (folder / "config.yaml").write_text("a: 1\n"),
    "data of no kind": lambda folder: (folder / "config.yaml").write_text("data: 7\nseed: 0\n"),
    "no environment": lambda folder: (folder / "environment.json").write_text("["),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_teacher_is_one_line_and_leaves_no_folder(teacher, train, damage):
    damage(teacher)
    status, _, err = train(named(teacher), "hydra.run.dir=run")
    assert status == 1
    assert err.startswith("ferlab: distillation.teachers: ")
    assert err.count("\n") == 1
    assert not Path("run").exists()


def test_a_teacher_that_diverged_is_named(happy, train):
    network = load_network(happy)
    network.output.bias.data[HAPPY] = float("nan")
    save_network(network, happy)
    status, _, err = train(named(happy), "hydra.run.dir=run")
    assert status == 1
    assert err == "ferlab: distillation.teachers: happy predicts nan for an image; name others\n"


@pytest.fixture
def labels(finished):
    """The folder of shipped labels."""
    names = folds(finished)
    of_a_commit(*names)
    assert ship_labels("mine", *names, *TINY, ENOUGH) == 0
    return Path("weights/mine")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.size=210"], "weights/mine are labels of other images; use distillation."),
        (["data.split_seed=1"], "what labels weights/mine was trained with data.split_seed=0, so"),
        (["data.limit=200"], "what labels weights/mine was trained with data.limit=null, so it"),
    ],
)
def test_labels_of_other_images_or_of_another_split_are_refused(labels, train, overrides, said):
    status, _, err = train(named(labels), ENOUGH, *overrides, "hydra.run.dir=pupil")
    assert status == 1
    assert err.startswith(f"ferlab: distillation.teachers: {said}")
    assert err.count("\n") == 1
    assert not Path("pupil").exists()


def test_labels_of_fewer_images_than_they_say_are_refused(labels, train):
    file = labels / "labels.safetensors"
    rewrite(file, load_labels(labels).probabilities[1:].half())
    status, _, err = train(named(labels), ENOUGH, "hydra.run.dir=pupil")
    assert (status, err.count("\n")) == (1, 1)
    assert "are labels of other images" in err


def test_networks_that_have_seen_what_labels_have_not_label_nothing(labels, train):
    status, out, err = train(named(labels, "fold0/model"), ENOUGH, "hydra.run.dir=pupil")
    assert status == 0, err
    assert "teacher fold0/model labels" in out  # its configuration lies beside it
    shutil.copytree("fold0/model", "alone")
    status, out, err = train(named(labels, "alone"), ENOUGH, "hydra.run.dir=other")
    assert status == 0, err
    assert "alone labels nothing: others have not seen the images" in out


def test_of_identical_images_all_are_seen_where_one_was_trained_on(finished):
    finished("teacher", "data.twins=drop_from_train")
    config = OmegaConf.create(yaml.safe_load(Path("teacher/config.yaml").read_text()))
    config.data.twins, config.data.val_fraction = "keep", 0
    (teacher,) = find_teachers("teacher", OmegaConf.to_container(config))
    store = make_data(config).store
    one, another = FaceDataModule(lambda: store).rows("train")[:2]
    hashes = store.hashes.copy()
    hashes[another] = hashes[one]
    data = FaceDataModule(lambda: dataclasses.replace(store, hashes=hashes), val_fraction=0)
    dropped = FaceDataModule(lambda: data.store, twins="drop_from_train")
    assert another not in dropped.rows("train")
    rows = data.rows("train")
    assert teacher.seen(data)[np.isin(rows, [one, another])].tolist() == [True, True]


def test_labels_fit_the_same_training_images_beside_any_test_images(labels):
    config = OmegaConf.create(yaml.safe_load(Path("fold0/config.yaml").read_text()))
    config.data.folds, config.distillation.teachers = None, [str(labels)]
    store = make_data(config).store
    kept = store.splits != SPLITS.index("private")
    columns = (store.images, store.labels, store.splits, store.names)
    without_private = ImageStore.from_arrays(*(column[kept] for column in columns))
    data = make_data(config, store=without_private)
    assert without_private.digest != store.digest
    Teachers(plain(config), RunFolder(Path("run"))).check_data(data)


DAMAGED_LABELS = {
    "half of them": lambda file: file.write_bytes(file.read_bytes()[:100]),
    "no safetensors": lambda file: file.write_text("{}"),
    "nothing": lambda file: file.write_bytes(b""),
    "no probabilities": lambda file: rewrite(file, torch.zeros(3, 7).half()),
    "negative ones": lambda file: rewrite(file, torch.eye(7).half() * 3 - 2 / 7),
    "no numbers": lambda file: rewrite(file, torch.full((3, 7), float("nan")).half()),
    "in fp64": lambda file: rewrite(file, torch.eye(7).double()),
    "of other classes": lambda file: rewrite(file, torch.ones(3, 1).half()),
    "in a row": lambda file: rewrite(file, torch.ones(7).half()),
    "a split of no kind": lambda file: rewrite(file, torch.eye(7).half(), split="[]"),
    "half a split": lambda file: rewrite(file, torch.eye(7).half(), split="{}"),
    "a split without end": lambda file: rewrite(file, torch.eye(7).half(), split="[" * 100_000),
    "no word of its images": lambda file: save_file(
        {"probabilities": torch.eye(7).half()}, file, None
    ),
}


def rewrite(file, probabilities, **said):
    """Write the labels' file with other probabilities, and other words about them."""
    with safe_open(file, framework="pt") as content:
        about = content.metadata()
    save_file({"probabilities": probabilities}, file, {**about, **said})


@pytest.mark.parametrize("damage", DAMAGED_LABELS.values(), ids=DAMAGED_LABELS)
def test_damaged_labels_are_one_line_and_leave_no_folder(labels, train, damage):
    damage(labels / "labels.safetensors")
    status, _, err = train(named(labels), ENOUGH, "hydra.run.dir=pupil")
    assert status == 1
    assert err.startswith("ferlab: distillation.teachers: weights/mine/labels.safetensors ")
    assert err.count("\n") == 1
    assert not Path("pupil").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mine", "fold0"], "images were left out by none of these runs; name one of each"),
        (["mine", "fold0", "fold1", "other"], "these runs were validated by different splits"),
        (["mine", "nowhere"], "there is no run=nowhere"),
        (["../mine", "fold0", "fold1"], "NAME must be a plain name, such as mine; got '../mine'"),
        (["mine"], "python scripts/ship_labels.py NAME FOLDER"),
    ],
)
def test_labels_that_cannot_be_are_not_shipped(finished, train, capfd, arguments, said):
    of_a_commit(*folds(finished))
    assert train(ENOUGH, "data.split_seed=1", "hydra.run.dir=other")[0] == 0
    of_a_commit("other")
    try:
        status = ship_labels(*arguments, *TINY, ENOUGH)
    except SystemExit as end:  # a message is printed by whoever calls a script
        status, message = 1, str(end.code)
    else:
        message = capfd.readouterr().err
    assert status == 1
    assert said in message
    assert not Path("weights").exists()


def test_labels_by_code_that_no_commit_holds_are_not_shipped(finished, capfd):
    names = folds(finished)
    of_a_commit(names[0])
    recorded = read_json(Path(names[1], "environment.json"))
    write_json(Path(names[1], "environment.json"), {**recorded, "commit": f"{'a' * 40}-dirty"})
    assert ship_labels("mine", *names, *TINY, ENOUGH) == 1
    assert "fold1 was trained by code that no commit holds" in capfd.readouterr().err
    assert not Path("weights").exists()


def test_the_labels_that_are_shipped_are_of_the_split_of_ferlabs_own_configuration():
    labels = load_labels(SCRIPTS.parent / "weights/labels")
    assert labels.split == shipped_split_settings()
    assert labels.probabilities.shape == (28_709, 7)
    page = (SCRIPTS.parent / "weights/labels/README.md").read_text()
    assert "8 networks that were not trained on the image" in " ".join(page.split())
