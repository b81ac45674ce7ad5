"""Networks built from specs."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from ferlab.emotions import EMOTIONS
from ferlab.networks.build import build_network
from ferlab.networks.files import save_network
from ferlab.networks.specs import parse_network

CONF = Path(__file__).parents[2] / "conf"
TINY = [
    {"conv": 4, "kernel": 3, "batch_norm": True, "pool": 4, "dropout": 0.5},
    "flatten",
    {"dense": 8, "batch_norm": True},
]


def model_f():
    return parse_network(**yaml.safe_load((CONF / "model/F.yaml").read_text()))


def test_model_f_has_the_reports_parameters():
    network = build_network(model_f())
    trainable = sum(parameter.numel() for parameter in network.parameters())
    statistics = sum(
        module.running_mean.numel() + module.running_var.numel()
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    )
    assert trainable == 4_474_759
    assert trainable + statistics == 4_478_727


def test_model_f_puts_normalisation_activation_pooling_and_dropout_in_the_reports_order():
    first = build_network(model_f()).layers[0]
    assert list(first._modules) == ["conv", "batch_norm", "activation", "pool", "dropout"]


def test_logits_follow_from_the_features_through_the_output_layer():
    network = build_network(parse_network(TINY)).eval()
    images = torch.rand(5, 1, 48, 48)
    features = network.features(images)
    assert features.shape == (5, 8)
    assert torch.equal(network(images), network.output(features))
    assert network(images).shape == (5, len(EMOTIONS))


def test_shapes_of_the_spec_are_the_shapes_that_come_out():
    spec = model_f()
    network = build_network(spec).eval()
    values = torch.rand(2, 1, 48, 48)
    for module, shape in zip(network.layers, spec.shapes, strict=True):
        values = module(values)
        assert tuple(values.shape[1:]) == shape


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


def test_logits_keep_full_precision_under_bf16():
    network = build_network(parse_network(TINY)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.rand(3, 1, 48, 48))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_a_saved_network_is_all_that_inference_needs(tmp_path):
    network = build_network(parse_network(TINY), seed=5).to(memory_format=torch.channels_last)
    network.eval()
    save_network(network, tmp_path)
    description = yaml.safe_load((tmp_path / "model.yaml").read_text())
    assert description["classes"] == list(EMOTIONS)
    assert description["input"]["shape"] == [1, 48, 48]
    spec = parse_network(description["layers"], description["name"], description["initialisation"])
    rebuilt = build_network(spec).eval()
    rebuilt.load_state_dict(load_file(tmp_path / "model.safetensors"))
    images = torch.rand(4, 1, 48, 48)
    assert torch.allclose(rebuilt(images), network(images), atol=1e-6)
