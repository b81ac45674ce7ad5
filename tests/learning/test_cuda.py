from types import SimpleNamespace

import hydra
import pytest
import torch
from cuda import CUDA, pretended

from ferlab.augment.crops import TEST_TIME
from ferlab.instantiate import conf_folder
from ferlab.learning.averaging import AveragedWeights
from ferlab.learning.normalisation import measure_batch_norm
from ferlab.running.compose import make_classifier, make_data

ALONE = SimpleNamespace(
    strategy=SimpleNamespace(root_device=CUDA),
    current_epoch=0,
    max_epochs=2,
    global_rank=0,
    world_size=1,
    is_global_zero=True,
)
"""What a Trainer of one process says of itself."""

PLENTY, NOTHING = 1 << 40, 0  # bytes free on the device

RECIPES = {
    "added images": [
        "experiment=report/F",
        *(f"augment.extra.{emotion}=5" for emotion in ("disgust", "surprise", "angry", "fear")),
    ],
    "crops": ["experiment=best", "distillation.teachers=[]"],
    "mixup": ["experiment=small", "augment=strong", "augment.mixup=0.2", "loss=focal"],
    "residual blocks": [
        "model.layers=[{residual: 8, stride: 2, squeeze_excite: 4}, global_average]",
        "augment=none",
        "loss.class_weights=balanced",
    ],
}


@pytest.fixture
def on_cuda(monkeypatch):
    """Overrides to a classifier whose weights are on the device, and the data for it."""

    def make(*overrides, free=PLENTY):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
        with hydra.initialize_config_dir(str(conf_folder()), version_base=None):
            tiny = ["data=drawn", "data.size=140", "data.batch_size=16"]
            config = hydra.compose("train", [*overrides, *tiny])
        classifier = make_classifier(config)
        data = make_data(config, classifier.network.input_size)
        classifier.trainer = data.trainer = ALONE
        classifier.to(CUDA)
        return classifier, data

    return make


@pytest.mark.parametrize("free", [PLENTY, NOTHING], ids=["images there", "images in host memory"])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_training_step_neither_mixes_devices_nor_waits_for_a_cuda_device(on_cuda, recipe, free):
    with pretended() as there:
        classifier, data = on_cuda(*recipe, free=free)
        average = AveragedWeights(0.9)
        average._average_model = SimpleNamespace(module=on_cuda(*recipe, free=free)[0])
        n_steps = 0
        for _ in range(2):
            for index, batch in enumerate(data.train_dataloader()):
                if index == 0:
                    there.waits.clear()  # each epoch's plan is drawn on the host
                classifier.on_train_batch_start(batch, index)
                loss = classifier.training_step(batch, index)
                # No backward: PyTorch's engine asks the driver for a context.
                n_steps += 1
                trainer = SimpleNamespace(global_step=n_steps)
                average.on_train_batch_end(trainer, classifier, loss, batch, index)
                assert {batch.images.device, batch.labels.device, loss.device} == {CUDA}
            assert there.waits == []
        assert n_steps >= 8


@pytest.mark.parametrize("free", [PLENTY, NOTHING], ids=["images there", "images in host memory"])
def test_an_evaluation_step_neither_mixes_devices_nor_waits_for_a_cuda_device(on_cuda, free):
    with pretended() as there:
        classifier, data = on_cuda("model=best", "data.eval_batch_size=8", free=free)
        classifier.eval()
        batches = data.batches_of(data.rows("test"))
        there.waits.clear()
        for index, batch in enumerate(batches):
            classifier.validation_step(batch, index)
            for classifier.test_time in TEST_TIME:
                assert classifier.probabilities(batch.images).shape == (len(batch.labels), 7)
        assert index > 1
        assert there.waits == []


def test_measuring_batch_normalisation_waits_for_nothing(on_cuda):
    with pretended() as there:
        classifier, data = on_cuda("model=best")
        batches = data.spread_batches(64)
        there.waits.clear()
        measure_batch_norm(classifier, batches)
        assert len(batches) == 4
        assert there.waits == []


def test_the_pretended_device_tells_what_would_be_waited_for():
    with pretended() as there:
        numbers = torch.arange(6)
        assert numbers.tolist() == [0, 1, 2, 3, 4, 5]  # the host's have values
        moved = numbers.to(CUDA, non_blocking=True)
        assert there.waits == []
        numbers.to(CUDA)
        moved[numbers]
        assert there.waits == ["aten._to_copy.default", "aten.index.Tensor"]
        with pytest.raises(RuntimeError, match="device"):
            moved + numbers
        for waiting in (lambda: moved.sum().item(), lambda: moved[moved > 2]):
            with pytest.raises(Exception, match=r"_local_scalar_dense|nonzero"):
                waiting()
