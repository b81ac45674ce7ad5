"""What tells apart lines of the comparison that would read the same."""

from dataclasses import replace

from entries import entry

from ferlab.reporting.entries import Score, over_seeds
from ferlab.reporting.namesakes import with_details, with_marks


def test_an_ablation_is_told_by_what_was_left_out_and_by_nothing_else():
    recipe = {f"{name}.on": True for name in ("crops", "erasing", "flips", "mixup", "smoothing")}
    entries = [entry("whole", settings=recipe)]
    entries += [entry(key, settings={**recipe, key: False}) for key in recipe]
    details = {one.folder: one.details for one in with_details(entries)}
    assert details == {"whole": "", **{key: f"{key}=False" for key in recipe}}


def test_of_two_namesakes_each_is_told_what_the_other_is_not():
    given = [entry(name, settings={"trainer.max_epochs": name}) for name in "12"]
    details = [one.details for one in with_details(given)]
    assert details == ["trainer.max_epochs=1", "trainer.max_epochs=2"]


def test_what_tells_namesakes_apart_is_said_also_within_one_class():
    def of(name, **loss):
        return entry(name, settings={f"loss.{key}": value for key, value in loss.items()})

    focal = {"_target_": "x.FocalLoss"}
    given = [of("a", **focal, gamma=1), of("b", **focal, gamma=2), of("c", _target_="x.Cross")]
    given += [of("d", _target_="x.Cross")]
    details = {one.folder: one.details for one in with_details(given)}
    assert set(details["a"].split(", ")) == {"loss=FocalLoss", "loss.gamma=1"}
    assert set(details["b"].split(", ")) == {"loss=FocalLoss", "loss.gamma=2"}
    assert details["c"] == details["d"] == "loss=Cross"
    most = [*given[:2], of("e", **focal, gamma=1), given[2]]
    details = {one.folder: one.details for one in with_details(most)}
    assert details["b"] == "loss.gamma=2"
    assert details["c"] == "loss=Cross"


def test_other_data_of_the_same_name_and_number_are_told_apart():
    scores = {"test": Score(0.5, 10)}
    given = [
        entry("a", scores=scores, digest="aaaaaaaa", seed=0),
        entry("b", scores=scores, digest="bbbbbbbb", seed=1),
        entry("c", scores=scores, seed=2),
    ]
    marked = {one.folder: one.judged_on for one in with_marks(given)}
    assert marked["a"] == "test, 10 images, data aaaaaa"
    assert marked["b"] == "test, 10 images, data bbbbbb"
    assert not over_seeds(given)
    same = [replace(one, digest="aaaaaaaa") for one in given]
    assert {one.judged_on for one in with_marks(same)} == {"test, 10 images"}
    assert len(over_seeds(same)) == 1
