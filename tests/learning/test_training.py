"""What steers a training: the plateau, early stopping, the choice of the best epoch."""

import csv
import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from ferlab.emotions import EMOTIONS
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.losses import CrossEntropy
from ferlab.networks.build import build_network
from ferlab.networks.files import load_network
from ferlab.running.compose import make_data


def history(folder):
    with Path(folder, "history.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_the_learning_rate_falls_after_an_epoch_without_improvement(train):
    train("hydra.run.dir=run", "scheduler.patience=0", "trainer.max_epochs=8", "optimizer.lr=0.01")
    rows = history("run")
    rate, best = 0.01, -1.0
    for row in rows:
        assert row["learning_rate"] == pytest.approx(rate)
        if row["val/accuracy"] > best * (1 + 1e-4):  # ReduceLROnPlateau's relative threshold
            best = row["val/accuracy"]
        else:
            rate *= 0.5
    assert rate < 0.01


def test_training_ends_when_nothing_has_improved_for_the_patience(train):
    train("hydra.run.dir=run", "callbacks.early_stopping.patience=1", "trainer.max_epochs=30")
    accuracies = [row["val/accuracy"] for row in history("run")]
    *before, last = accuracies
    assert len(accuracies) < 30
    assert last <= max(before)
    assert all(b > max(before[:i]) for i, b in enumerate(before) if i)


def test_by_validation_loss_the_lowest_is_the_best(train):
    train("hydra.run.dir=run", "monitor=val/loss", "optimizer.lr=0.05", "trainer.max_epochs=6")
    metrics = json.loads(Path("run/metrics.json").read_text())
    losses = [row["val/loss"] for row in history("run")]
    assert metrics["best_epoch"] == losses.index(min(losses)) + 1
    assert metrics["val/loss"] == pytest.approx(min(losses), rel=1e-5)


def test_training_learns_what_the_drawn_faces_show(train):
    status, _, err = train(
        "hydra.run.dir=run",
        "data.size=700",
        "model.layers=[{conv: 16, pool: 2}, {conv: 32, pool: 4}, flatten, {dense: 32}]",
        "trainer.max_epochs=8",
        "optimizer.lr=0.003",
    )
    assert status == 0, err
    rows = history("run")
    assert rows[-1]["train/loss"] < rows[0]["train/loss"] * 2 / 3
    assert max(row["val/accuracy"] for row in rows) > 0.4  # a quarter is the largest class


@pytest.mark.parametrize("preset", ["report", "standard", "strong"])
def test_every_augmentation_trains(train, preset):
    few = [f"++augment.extra.{emotion}=3" for emotion in EMOTIONS]
    status, _, err = train("hydra.run.dir=run", f"augment={preset}", *few)
    assert status == 0, err


def test_mixup_trains_on_shares_of_the_classes_and_repeats_itself(train, monkeypatch):
    seen = []
    forward = CrossEntropy.forward

    def watching(loss, logits, labels):
        seen.append(labels)
        return forward(loss, logits, labels)

    monkeypatch.setattr(CrossEntropy, "forward", watching)
    for folder in ("one", "other"):
        status, _, err = train(f"hydra.run.dir={folder}", "augment.mixup=0.4")
        assert status == 0, err
    assert Path("one/metrics.json").read_text() == Path("other/metrics.json").read_text()
    shares = torch.cat(seen)  # (N, 7)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(len(shares)))
    assert (shares.amax(dim=1) < 0.99).float().mean() > 0.3


def test_a_training_is_refined_in_its_last_epochs(train, monkeypatch):
    erasing = "{rotation: 0, flip: 0, zoom: 0, translation: 0, erasing: 1, erasing_area: 1}"
    seen = []
    forward = EmotionClassifier.forward

    def watching(classifier, images):
        if classifier.training:
            seen[-1].append(bool((images == 0).flatten(1).float().mean(dim=1).min() > 0.01))
        return forward(classifier, images)

    def begin(classifier):
        seen.append([])

    monkeypatch.setattr(EmotionClassifier, "forward", watching)
    monkeypatch.setattr(EmotionClassifier, "on_train_epoch_start", begin)
    status, _, err = train(
        "hydra.run.dir=run",
        "trainer.max_epochs=3",
        "augment=standard",
        f"++augment.transforms={erasing}",
        "augment.refine=0.34",
    )
    assert status == 0, err
    assert [set(epoch) for epoch in seen] == [{True}, {True}, {False}]


@pytest.mark.parametrize(
    "recipe",
    [["loss.label_smoothing=0.3"], ["callbacks=ema", "callbacks.ema.decay=0.9"]],
    ids=["smoothed labels", "averaged weights"],
)
def test_the_kept_weights_have_the_plain_loss_that_was_reported_of_them(train, recipe):
    assert train(*recipe, "monitor=val/loss", "optimizer.lr=0.01", "hydra.run.dir=run")[0] == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    losses = [row["val/loss"] for row in history("run")]
    assert metrics["val/loss"] == pytest.approx(min(losses), rel=1e-4)


def test_a_schedule_by_batch_ends_with_the_training(train):
    assert train("scheduler=cosine", "scheduler.min_lr=0", "hydra.run.dir=run")[0] == 0
    first, *_, last = [row["learning_rate"] for row in history("run")]
    assert first > 1e-4
    assert last == pytest.approx(0, abs=1e-9)


def test_by_loss_the_learning_rate_falls_where_the_loss_does_not(train):
    run = ["monitor=val/loss", "scheduler.patience=0", "optimizer.lr=0.05"]
    assert train(*run, "trainer.max_epochs=8", "hydra.run.dir=run")[0] == 0
    rate, least = 0.05, float("inf")
    for row in history("run"):
        assert row["learning_rate"] == pytest.approx(rate)
        if row["val/loss"] < least:
            least = row["val/loss"]
        else:
            rate *= 0.5
    assert rate < 0.05


def test_balanced_weights_follow_from_the_rows_of_an_epoch(train):
    added = ["augment=report", "augment.extra={angry: 0, disgust: 9, fear: 0, surprise: 0}"]
    run = ["loss.class_weights=balanced", "trainer.max_epochs=1", "hydra.run.dir=run"]
    assert train(*added, *run)[0] == 0
    data = make_data(OmegaConf.load("run/config.yaml"))
    rows = data.store.class_counts(data.rows("train"))
    rows[EMOTIONS.index("disgust")] += 9
    weight = torch.load("run/checkpoints/last.ckpt", weights_only=True)["state_dict"]["loss.weight"]
    assert weight.numpy() == pytest.approx(rows.sum() / (7 * rows))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped(train, precision):
    run = ["optimizer=sgd", "scheduler=none", "trainer.max_epochs=1"]
    moved = {}
    for name, clip in (("free", "null"), ("clipped", "1e-9")):
        given = [f"trainer.precision={precision}", f"trainer.gradient_clip={clip}"]
        assert train(*run, *given, f"hydra.run.dir={name}")[0] == 0
        trained = load_network(Path(name, "model"))
        begun = build_network(trained.spec, seed=0)
        moved[name] = (trained.output.weight - begun.output.weight).abs().max()
    assert moved["clipped"] < 1e-6 < 1e-4 < moved["free"]
