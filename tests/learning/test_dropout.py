"""Dropout that grows: how much is dropped in which epoch, and where there is none to grow."""

from types import SimpleNamespace

import pytest
from mistakes import mistake_of

from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.compilation import Compilation
from ferlab.learning.dropout import CurriculumDropout
from ferlab.learning.trainer import make_trainer
from ferlab.networks.build import build_network
from ferlab.networks.specs import parse_network


def make(*layers):
    module = EmotionClassifier(build_network(parse_network([*layers])))
    return module, [layer for layer in module.modules() if hasattr(layer, "p")]


def test_each_dropout_grows_from_nothing_to_what_its_layer_says_in_the_papers_curve():
    module, dropouts = make({"conv": 2, "dropout": 0.25}, "flatten", {"dense": 3, "dropout": 0.5})
    curriculum = CurriculumDropout(pace=10)
    trainer = SimpleNamespace(max_epochs=10, current_epoch=0)
    curriculum.on_fit_start(trainer, module)
    dropped = []
    for trainer.current_epoch in range(10):
        curriculum.on_train_epoch_start(trainer, module)
        dropped.append([dropout.p for dropout in dropouts])
    assert dropped[0] == [0, 0]
    assert dropped[1] == pytest.approx([0.25 * 0.63212, 0.5 * 0.63212], rel=1e-4)  # 1 - 1/e
    assert dropped[5] == pytest.approx([0.25 * 0.99326, 0.5 * 0.99326], rel=1e-4)  # 1 - 1/e⁵
    curriculum.on_fit_end(trainer, module)
    assert [dropout.p for dropout in dropouts] == [0.25, 0.5]


def test_a_network_without_dropout_is_refused_before_any_image_is_read(train):
    status, out, err = train("callbacks=curriculum_dropout", "model.layers=[flatten,{dense: 4}]")
    assert status == 1
    assert "no dropout that could grow; add callbacks.curriculum_dropout=null" in err
    assert len(err.splitlines()) == 1
    assert "data:" not in out


@pytest.mark.parametrize("pace", [0, -1, "soon"])
def test_a_pace_that_lets_nothing_grow_is_refused(pace):
    assert "callbacks.curriculum_dropout.pace" in mistake_of(CurriculumDropout, pace)


def test_a_network_whose_dropout_grows_is_not_compiled_anew_in_each_epoch(tmp_path):
    growing = CurriculumDropout(pace=10)
    trainer = make_trainer(tmp_path, "cpu", compile="auto", callbacks=[growing])
    assert growing in trainer.callbacks
    assert not any(isinstance(callback, Compilation) for callback in trainer.callbacks)
    mistake = mistake_of(lambda: make_trainer(tmp_path, "cpu", compile=True, callbacks=[growing]))
    assert "trainer.compile=true" in mistake
