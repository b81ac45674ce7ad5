"""`ferlab compare`: from the folders that the stages leave to one page."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from recorded import write_classifier, write_evaluation, write_run

from ferlab.cli import main
from ferlab.runs import RunFolder

NASTY = "<script>alert('x')</script> & $\\frac$"


@pytest.fixture
def compare(capfd):
    """`ferlab compare` into `out`: overrides to exit status, standard output, error."""

    def run(*overrides):
        capfd.readouterr()
        status = main(["compare", "hydra.run.dir=out", *overrides])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def three():
    """Three runs of two models, the best by validation being the worst on the test images."""

    def run(place, *arguments, **values):
        return write_run(Path("outputs/train", place, "one"), *arguments, **values)

    return [
        run("A-adam", accuracy=0.5, test_accuracy=0.6),
        run("A-sgd", optimizer="sgd", accuracy=0.4, test_accuracy=0.8, seed=1),
        run("C-adam", "C", accuracy=0.7, test_accuracy=0.3),
    ]


def rows():
    with Path("out/runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def html():
    return Path("out/index.html").read_text()


def test_what_a_training_really_leaves_is_compared(train, compare):
    assert train("hydra.run.dir=outputs/train/mine", "trainer.max_epochs=1")[0] == 0
    status, out, err = compare()
    assert status == 0, err
    assert "left out" not in out
    (run,) = rows()
    metrics = json.loads(Path("outputs/train/mine/metrics.json").read_text())
    assert float(run["test"]) == metrics["test/accuracy"]
    assert int(run["public_images"]) == metrics["test/public/images"]
    assert (run["kind"], run["optimizer"], run["augmentation"]) == ("run", "adam", "none")
    assert (run["epochs"], run["data"]) == ("1", "faces drawn by the program (not FER-2013)")


@pytest.mark.slow
def test_what_all_stages_really_leave_is_compared(train, compare):
    assert train("hydra.run.dir=outputs/train/mine")[0] == 0
    sweep = ["-m", "seed=1,2", "trainer.max_epochs=1", "hydra.sweep.dir=outputs/sweeps/mine"]
    assert train(*sweep)[0] == 0
    judged = ["trainer.accelerator=cpu", "trainer.precision=32-true"]
    assert main(["evaluate", "run=outputs/train/mine", "augment.test_time=flip", *judged]) == 0
    fitted = ["run=outputs/train/mine", "classifiers=[linear_svc]", "trainer.accelerator=cpu"]
    assert main(["extract_and_fit", *fitted]) == 0
    status, out, err = compare()
    assert status == 0, err
    assert "left out" not in out
    kinds = [row["kind"] for row in rows()]
    assert sorted(kinds) == ["classifier", "evaluation", "run", "sweep job", "sweep job"]
    assert "Over seeds" in html()
    assert "Table 3" in html()
    assert "Table 4" not in html()  # drawn faces have no place beside the literature


def test_page_csv_markdown_and_records_are_written(three, compare):
    status, out, err = compare()
    assert status == 0, err
    assert {path.name for path in Path("out").iterdir()} >= {
        "index.html",
        "runs.csv",
        "runs.md",
        "config.yaml",
        "environment.json",
        "metrics.json",
        "compare.log",
    }
    assert out.splitlines()[-1] == "page: out/index.html"
    assert json.loads(Path("out/metrics.json").read_text()) == {"results": 3, "left_out": 0}
    assert Path("out/runs.md").read_text().startswith("# 3 results compared")


def test_the_page_needs_nothing_beside_it(three, compare):
    compare()
    assert not re.search(r'(src|href)="(?!data:image/png;base64,)', html())
    assert "@import" not in html()
    assert "url(" not in html()
    # bars, costs, two panels of curves, three confusion matrices
    assert html().count('src="data:image/png') == 7


def test_the_best_by_validation_comes_first_unless_another_column_is_named(three, compare):
    _, out, _ = compare()
    accuracies = [float(row["val"]) for row in rows()]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "The best by validation accuracy first; the test images order nothing." in html()
    assert "the test images order nothing" in out
    assert compare("sort=macs", "hydra.run.dir=by_cost")[0] == 0
    page = Path("by_cost/index.html").read_text()
    assert "By macs, the lowest first, as sort=macs asks." in page
    assert '<th scope="col" class="number" data-kind="number" aria-sort="ascending">' in page


def test_a_filter_is_said_beside_what_it_leaves(three, compare):
    assert compare("where={model: [A], optimizer: sgd}")[0] == 0
    assert [row["folder"] for row in rows()] == ["outputs/train/A-sgd/one"]
    assert "1 of 3 results, those with model: [&#x27;A&#x27;], optimizer: sgd" in html()


def test_the_page_is_made_anew_each_time(three, compare):
    compare()
    write_run(Path("outputs/later"))
    assert compare()[0] == 0
    assert len(rows()) == 4


def test_everything_that_a_folder_may_hold_is_escaped(compare):
    run = write_run(Path("outputs/a"), changes={"data.title": NASTY, "optimizer._target_": NASTY})
    write_run(Path("outputs/b"), changes={"data.title": NASTY, "loss.label_smoothing": NASTY})
    bad = write_run(Path("outputs/c"))
    (bad / "metrics.json").unlink()
    (bad / "failure.txt").write_text(NASTY)
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**environment, "commit": NASTY}))
    status, _, err = compare()
    assert status == 0, err
    assert html().count("<script") == 1  # the page's own
    assert "alert(&#x27;x&#x27;)" in html()
    assert "<script" not in Path("out/runs.md").read_text()


def test_what_is_left_out_is_named_with_its_reason_on_console_and_page(three, compare):
    damaged, bare, strange = (write_run(Path("outputs") / name) for name in ("x", "y", "z"))
    (damaged / "metrics.json").write_text('{"val/accuracy": 0.')
    (bare / "model/model.safetensors").unlink()
    (strange / "config.yaml").write_text("seed: 0\n")
    busy = RunFolder(write_run(Path("outputs/now")))
    with busy:
        busy.open(yaml.safe_load(busy.config.read_text()), {}, device="cpu")
        status, out, err = compare()
    assert status == 0, err
    assert [line.split(": ")[1] for line in out.splitlines() if line.startswith("left out")] == [
        "outputs/now",
        "outputs/x",
        "outputs/y",
        "outputs/z",
    ]
    for said in (
        "is being written at this moment",
        "metrics.json is damaged",
        "it has no model",
        "config.yaml is not one that this version of ferlab knows",
    ):
        assert said in out
        assert said in html()
    assert len(rows()) == 3


def test_numbers_of_different_test_images_have_figures_of_their_own(three, compare):
    write_run(Path("outputs/half"), n_test=60)
    compare()
    assert "3 runs on FER-2013, PublicTest and PrivateTest, 140 images" in html()
    assert "1 run on FER-2013, PublicTest and PrivateTest, 60 images" in html()


def test_a_run_without_predictions_has_no_matrix_and_the_others_have(three, compare):
    (three[2] / "predictions.npz").unlink()
    assert compare()[0] == 0
    assert "no matrix, there is no outputs/train/C-adam/one/predictions.npz" in html()
    assert len(list(Path("out").glob("confusion_*.png"))) == 2


def test_two_runs_are_tested_on_every_split_that_both_have_judged(three, compare):
    status, out, err = compare("pair=[A,outputs/train/C-adam/one]", "where={model: C}")
    assert status == 0, err
    for split in ("val", "test", "test/public", "test/private", "test/clean"):
        assert f"\n{split}: of " in out
    metrics = json.loads(Path("out/metrics.json").read_text())
    newest = max(three[:2], key=lambda run: (run / "metrics.json").stat().st_mtime_ns)
    accuracies = [
        json.loads((run / "metrics.json").read_text())["test/accuracy"]
        for run in (newest, three[2])
    ]
    assert metrics["pair/test/difference"] == pytest.approx(accuracies[0] - accuracies[1])
    assert metrics["pair/test/low"] < metrics["pair/test/difference"] < metrics["pair/test/high"]
    assert "Two runs tested for a difference" in html()


def test_runs_on_different_images_are_not_tested(three, compare):
    write_run(Path("outputs/B"), "B", images_seed=5)
    status, _, err = compare("pair=[B,C]")
    assert status == 1
    assert "different images" in err
    environment = {"data": "f" * 32}
    Path("outputs/B/environment.json").write_text(json.dumps(environment))
    assert "judged on different data" in compare("pair=[B,C]")[2]
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sort=accuracy", "sort must be one of"),
        ("where={modell: A}", "did you mean 'model'?"),
        ("where=A", "where must map columns to values"),
        ("where={model: Z}", "none of the 3 results in outputs is as where= asks"),
        ("runs=[nowhere]", "there is no folder nowhere"),
        ("runs=outputs", "runs must be a list of folders"),
        ("pair=A", "pair must name two runs"),
        ("pair=[A]", "pair must name two runs"),
        ("pair=[C,C]", "twice"),
        ("pair=[A,Z]", "there is no run=Z"),
        ("pair=[C,outputs]", "there is no"),
    ],
)
def test_a_mistake_leaves_no_folder(three, compare, override, said):
    status, _, err = compare(override)
    assert status == 1
    assert said in err
    assert not Path("out").exists()


def test_where_there_are_no_runs_it_is_said(compare):
    Path("outputs").mkdir()
    assert "there are no runs in outputs" in compare()[2]
    (write_run(Path("outputs/a")) / "metrics.json").unlink()
    assert "nothing in outputs can be compared: outputs/a not finished" in compare()[2]


def test_comparing_does_not_wait_for_lightning():
    code = "import sys, ferlab.stages.compare; assert 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_page_of_two_hundred_runs_stays_small(compare):
    for number in range(200):
        write_run(
            Path("outputs/sweeps/many") / str(number),
            "ABCDEF"[number % 6],
            ("adam", "sgd")[number // 6 % 2],
            accuracy=0.4 + number / 1000,
            seed=number,
            epochs=60,
        )
    for name in ("svm", "random_forest"):
        write_classifier(Path("outputs/sweeps/many/5"), name)
    write_evaluation(Path("outputs/evaluate/one"), Path("outputs/sweeps/many/5"))
    assert compare()[0] == 0
    assert len(rows()) == 203
    assert os.path.getsize("out/index.html") < 3_000_000


def test_the_test_images_choose_nothing(compare):
    """Of one model and optimizer the run that validation prefers, not the test images."""
    chosen = write_run(Path("outputs/chosen"), "F", accuracy=0.7, test_accuracy=0.4)
    other = write_run(Path("outputs/other"), "F", accuracy=0.5, test_accuracy=0.9, seed=1)
    for run in (chosen, other):
        write_classifier(run, "svm")
    assert compare("sort=test")[0] == 0
    own, lucky = (
        f"{100 * json.loads((run / 'metrics.json').read_text())['test/accuracy']:.2f}"
        for run in (chosen, other)
    )
    matrices = html().partition("Confusion matrices")[2]
    assert matrices.index("report, seed 0") < matrices.index("report, seed 1")
    for page in (html(), Path("out/runs.md").read_text()):
        for table in ("Table 3", "Table 4"):
            section = page.partition(table)[2].partition("Table 4")[0]
            assert own in section
            assert lucky not in section


def test_test_images_are_named_on_the_console_once_or_where_they_differ_in_each_row(three, compare):
    out = compare()[1]
    assert out.count("FER-2013, PublicTest and PrivateTest, 140 images\n") == 1
    assert out.count("140 images") == 1
    write_run(Path("outputs/half"), n_test=60)
    _, out, _ = compare()
    assert "PublicTest and PrivateTest, 140 images" in out
    assert "PublicTest and PrivateTest, 60 images" in out


def test_a_commit_is_found_by_what_the_table_shows_of_it(three, compare):
    environment = json.loads((three[0] / "environment.json").read_text())
    (three[0] / "environment.json").write_text(json.dumps({**environment, "commit": "a1" * 20}))
    assert compare("where={commit: a1a1a1a}")[0] == 0
    assert [row["folder"] for row in rows()] == ["outputs/train/A-adam/one"]


def test_a_history_that_cannot_be_costs_no_other_run_its_curves(three, compare):
    history = three[0] / "history.csv"
    header, first, *_ = history.read_text().splitlines()
    for cells in (["1e308"], ["1", "0.5", "-1e308"]):
        row = first.split(",")
        row[: len(cells)] = cells
        history.write_text("\n".join([header, ",".join(row)]) + "\n")
        status, _, err = compare()
        assert status == 0, err
        assert "Learning curves" in html()
