"""Networks built from specs."""

import math

import pytest
import torch
import torch.nn.functional as F
from models import MODELS, model
from torch import nn

from ferlab.emotions import EMOTIONS
from ferlab.networks.build import LayeredNetwork, build_network
from ferlab.networks.specs import parse_network

TINY = [
    {"conv": 4, "kernel": 3, "batch_norm": True, "pool": 4, "dropout": 0.5},
    "flatten",
    {"dense": 8, "batch_norm": True},
]


def test_model_f_has_the_reports_parameters():
    network = build_network(model("F"))
    trainable = sum(parameter.numel() for parameter in network.parameters())
    statistics = sum(
        module.running_mean.numel() + module.running_var.numel()
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    )
    assert trainable == 4_474_759
    assert trainable + statistics == 4_478_727


@pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "silu", "tanh"])
def test_a_convolution_is_normalised_activated_and_pooled_in_the_reports_order(activation):
    row = {"conv": 6, "batch_norm": True, "activation": activation, "pool": 2}
    layer = build_network(parse_network([row, "flatten"])).layers[0]
    images = torch.randn(4, 1, 48, 48)
    ours = layer(images)
    maps = layer.activation(layer.batch_norm(layer.conv(images)))
    assert torch.equal(ours, F.max_pool2d(maps, 2))


ACTIVATIONS = {
    "relu": F.relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "none": lambda maps: maps,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_function_of_its_name(name):
    layer = build_network(parse_network([{"conv": 6, "activation": name}, "flatten"])).layers[0]
    images = torch.randn(4, 1, 48, 48)
    torch.testing.assert_close(layer(images), ACTIVATIONS[name](layer.conv(images)))


def test_average_pooling_and_the_global_average_are_means():
    conv = {"conv": 6, "activation": "none"}
    network = build_network(parse_network([conv, {"average_pool": 2}, "global_average"]))
    images = torch.randn(4, 1, 48, 48)
    maps = network.layers[0](images)
    torch.testing.assert_close(network.layers[1](maps), F.avg_pool2d(maps, 2))
    torch.testing.assert_close(network.features(images), maps.mean(dim=(2, 3)))


def test_gradients_are_those_of_pooling_after_the_activation():
    row = {"conv": 6, "batch_norm": True, "pool": 2}
    layer = build_network(parse_network([row, "flatten"])).layers[0]
    images = torch.randn(4, 1, 48, 48)
    layer(images).square().sum().backward()
    ours = layer.conv.weight.grad.clone()
    layer.zero_grad()
    maps = layer.batch_norm(layer.conv(images)).relu()
    F.max_pool2d(maps, 2).square().sum().backward()
    assert torch.equal(ours, layer.conv.weight.grad)


def test_dropout_comes_last():
    first = build_network(model("F")).layers[0]
    assert set(first._modules) == {"conv", "batch_norm", "activation", "pool", "dropout"}
    assert list(first._modules)[-1] == "dropout"


def test_logits_follow_from_the_features_through_the_output_layer():
    network = build_network(parse_network(TINY)).eval()
    images = torch.rand(5, 1, 48, 48)
    features = network.features(images)
    assert features.shape == (5, 8)
    assert torch.equal(network(images), network.output(features))
    assert network(images).shape == (5, len(EMOTIONS))


def test_initial_weights_are_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_network(parse_network(TINY), seed=3).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(7)
    again = build_network(parse_network(TINY), seed=3).state_dict()
    other = build_network(parse_network(TINY), seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_keras_initialisation_is_glorot_uniform_with_zero_biases():
    network = build_network(parse_network(["flatten", {"dense": 500}], initialisation="keras"))
    dense = network.layers[1].dense
    bound = (6 / (2304 + 500)) ** 0.5
    assert dense.weight.abs().max() <= bound
    assert dense.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert not dense.bias.any()


@pytest.mark.parametrize("initialisation", ["keras", "kaiming", "torch"])
def test_initialisations_differ_in_the_spread_of_the_weights(initialisation):
    layers = ["flatten", {"dense": 500}]
    network = build_network(parse_network(layers, initialisation=initialisation))
    spread = {
        "keras": math.sqrt(2 / (2304 + 500)),
        "kaiming": math.sqrt(2 / 2304),
        "torch": math.sqrt(1 / (3 * 2304)),
    }
    assert network.layers[1].dense.weight.std().item() == pytest.approx(
        spread[initialisation], rel=0.01
    )
    assert bool(network.layers[1].dense.bias.any()) == (initialisation == "torch")


def test_batch_norm_takes_its_values_from_the_row():
    norms = [True, {"momentum": 0.1, "epsilon": 1e-5}]
    rows = [*({"conv": 4, "batch_norm": norm} for norm in norms), "flatten"]
    network = build_network(parse_network(rows))
    built = [(layer.batch_norm.momentum, layer.batch_norm.eps) for layer in network.layers[:2]]
    assert built == [(0.01, 1e-3), (0.1, 1e-5)]


def test_a_network_sees_the_centre_of_larger_images():
    network = build_network(parse_network(TINY, input_size=40)).eval()
    images = torch.rand(3, 1, 48, 48)
    edgeless = torch.zeros_like(images)
    edgeless[..., 4:44, 4:44] = images[..., 4:44, 4:44]
    logits = network(images)
    assert network.input_size == 40
    assert torch.equal(network(images[..., 4:44, 4:44]), logits)
    assert torch.equal(network(edgeless), logits)
    assert not torch.equal(network(images[..., :40, :40]), logits)


def test_images_smaller_than_what_the_network_sees_are_refused():
    network = build_network(parse_network(TINY))
    with pytest.raises(ValueError, match="sees 48×48 pixels; got images of 40×40"):
        network(torch.rand(2, 1, 40, 40))


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_of_every_model_learns(name):
    network = build_network(model(name))
    nn.functional.cross_entropy(network(torch.rand(4, 1, 48, 48)), torch.arange(4)).backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_vggnet_takes_images_and_crops():
    with torch.device("meta"):
        network = LayeredNetwork(model("vggnet")).eval()
        for side in (48, 40):
            assert network.features(torch.empty(2, 1, side, side)).shape == (2, 4096)


def test_resnet18_has_features_and_logits_like_any_network():
    network = build_network(model("resnet18")).eval()
    images = torch.rand(2, 1, 48, 48)
    features = network.features(images)
    assert features.shape == (2, 512)
    assert torch.equal(network(images), network.output(features))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_logits_keep_full_precision_under_half_precision(half):
    network = build_network(parse_network(TINY)).eval()
    with torch.autocast("cpu", half):
        logits = network(torch.rand(3, 1, 48, 48))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())
