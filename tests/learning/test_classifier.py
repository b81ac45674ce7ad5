"""The module: what it predicts, and what its dropout follows from."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from ferlab.augment.crops import views_at_test_time
from ferlab.data.batches import Batch
from ferlab.learning.classifier import EmotionClassifier
from ferlab.networks.build import build_network
from ferlab.networks.specs import parse_network


@pytest.mark.parametrize("kind", ["flip", "ten_crop"])
def test_a_prediction_is_the_mean_of_its_views_probabilities(kind):
    spec = parse_network([{"conv": 4, "pool": 4}, "flatten"], input_size=40)
    module = EmotionClassifier(build_network(spec), test_time=kind).eval()
    images = torch.rand(3, 1, 48, 48)
    with torch.no_grad():
        found = module.predict_step(Batch(images, torch.zeros(3, dtype=torch.int64)), 0)
        views = views_at_test_time(images, kind, 40)
        expected = sum(module.network(view).softmax(dim=1) for view in views) / len(views)
    assert len(views) == {"flip": 2, "ten_crop": 10}[kind]
    torch.testing.assert_close(found, expected)


def test_dropout_follows_from_seed_epoch_and_batch(monkeypatch):
    def drawn(seed, epoch, batch):
        module = EmotionClassifier(build_network(parse_network(["flatten"])), seed=seed)
        monkeypatch.setattr(EmotionClassifier, "current_epoch", epoch)
        monkeypatch.setattr(EmotionClassifier, "global_rank", 0)
        module.seed_dropout(batch)
        return torch.rand(1).item()

    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert len({drawn(*place) for place in places}) == len(places)
    assert drawn(1, 2, 3) == drawn(1, 2, 3)


def test_a_fused_sgd_begins_at_rest_after_a_first_step_that_overflows(monkeypatch):
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, fused=True)
    module = EmotionClassifier(build_network(parse_network(["flatten"])), sgd)
    module.trainer = SimpleNamespace(precision="16-mixed")
    module.on_fit_start()
    optimizer, scaler = module.configure_optimizers(), torch.amp.GradScaler("cpu")
    begun = module.network.output.bias.clone()
    monkeypatch.setattr(torch, "empty_like", partial(torch.full_like, fill_value=torch.nan))
    for gradient in (torch.inf, scaler.get_scale()):
        scaler.scale(torch.zeros(()))
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        scaler.step(optimizer)
        scaler.update()
    moved = module.network.output.bias - begun
    assert moved.tolist() == pytest.approx([-0.1 * 1.9 * 2] * 7)  # the scale was halved
