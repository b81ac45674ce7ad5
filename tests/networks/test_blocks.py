"""Blocks that PyTorch does not have, against torchvision's and against their definitions."""

import pytest
import torch
from torchvision.models.resnet import BasicBlock, resnet18

from ferlab.networks.blocks import PackedDropout, ResidualBlock, make_torchvision
from ferlab.networks.build import build_network
from ferlab.networks.rows import BatchNorm, Residual
from ferlab.networks.specs import parse_network

AS_TORCH = BatchNorm(momentum=0.1, epsilon=1e-5)


def test_a_residual_block_is_torchvisions_basic_block():
    ours = ResidualBlock(4, Residual(8, stride=2, batch_norm=AS_TORCH))
    shortcut = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 1, stride=2, bias=False), torch.nn.BatchNorm2d(8)
    )
    theirs = BasicBlock(4, 8, stride=2, downsample=shortcut)
    weights = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(weights))
    maps = torch.rand(3, 4, 9, 9)
    for module in (ours, theirs):
        module.train()
    assert torch.equal(ours(maps), theirs(maps))
    for module in (ours, theirs):
        module.eval()
    assert torch.equal(ours(maps), theirs(maps))


def test_a_residual_block_that_keeps_the_shape_passes_its_input_on():
    block = ResidualBlock(4, Residual(4, batch_norm=AS_TORCH, activation="none")).eval()
    for parameter in block.residual.parameters():
        torch.nn.init.zeros_(parameter)
    maps = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(maps), maps)


def test_a_residual_block_without_normalisation_has_biases():
    names = [name for name, _ in ResidualBlock(4, Residual(8)).named_parameters()]
    assert sum("bias" in name for name in names) == 3
    normalised = ResidualBlock(4, Residual(8, batch_norm=AS_TORCH))
    assert all(
        module.bias is None
        for module in normalised.modules()
        if isinstance(module, torch.nn.Conv2d)
    )


def test_squeeze_and_excitation_weighs_each_channel_by_the_means_of_all():
    network = build_network(
        parse_network([{"conv": 6}, {"squeeze_excite": 3}, "flatten"]), seed=1
    ).eval()
    maps = network.layers[0](torch.rand(2, 1, 48, 48))
    squeeze = network.layers[1]
    narrow = maps.mean(dim=(2, 3)) @ squeeze.fc1.weight.flatten(1).T + squeeze.fc1.bias
    assert narrow.shape == (2, 2)
    weights = (narrow.relu() @ squeeze.fc2.weight.flatten(1).T + squeeze.fc2.bias).sigmoid()
    torch.testing.assert_close(squeeze(maps), maps * weights[:, :, None, None])


def test_squeeze_and_excitation_stands_before_the_addition():
    block = ResidualBlock(4, Residual(4, activation="none", squeeze_excite=2))
    torch.nn.init.zeros_(block.residual[-1].fc2.weight)
    torch.nn.init.constant_(block.residual[-1].fc2.bias, -1e9)  # weighs every channel by 0
    maps = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(maps), maps)


def test_resnet18_differs_from_torchvisions_in_its_first_and_last_layers_alone():
    with torch.device("meta"):
        ours, theirs = make_torchvision("resnet18", 1), resnet18(weights=None)
        assert ours(torch.empty(2, 1, 48, 48)).shape == (2, 512)
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    wanted = {name: value.shape for name, value in theirs.state_dict().items()}
    assert wanted.keys() - shapes.keys() == {"fc.weight", "fc.bias"}
    assert {name for name in shapes if shapes[name] != wanted[name]} == {"conv1.weight"}
    assert shapes["conv1.weight"] == (64, 1, 3, 3)


def test_resnet18_looks_at_small_images_in_full():
    with torch.device("meta"):
        network = make_torchvision("resnet18", 1)
        first = network.layer1(network.maxpool(network.conv1(torch.empty(1, 1, 48, 48))))
    assert first.shape == (1, 64, 48, 48)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_zeroes_the_asked_share_and_scales_up_the_rest(memory_format):
    inputs = torch.ones(64, 8, 21, 21).to(memory_format=memory_format).requires_grad_()
    torch.manual_seed(0)
    outputs = PackedDropout(0.3)(inputs)
    outputs.sum().backward()
    assert outputs.unique().tolist() == pytest.approx([0, 1 / 0.7], rel=1e-4)
    for share in ((outputs == 0).float().mean(dim=dim).mean() for dim in (0, (1, 2, 3))):
        assert share == pytest.approx(0.3, abs=0.005)  # four standard errors
    assert torch.equal(inputs.grad, outputs)
    assert outputs.is_contiguous(memory_format=memory_format)


def test_dropout_draws_each_value_by_itself():
    torch.manual_seed(0)
    outputs = PackedDropout(0.5)(torch.ones(250_000)).reshape(-1, 4) / 2
    patterns = torch.bincount((outputs @ torch.tensor([1.0, 2.0, 4.0, 8.0])).int(), minlength=16)
    assert (patterns / len(outputs) - 1 / 16).abs().max() < 0.005  # all 16, equally often
    following = (outputs[:-1] * outputs[1:]).mean(dim=0)
    assert (following - 1 / 4).abs().max() < 0.01


def test_dropout_follows_the_seed_and_takes_any_number_of_values():
    dropout = PackedDropout(0.5)
    for size in (0, 1, 5, 7):
        torch.manual_seed(3)
        first = dropout(torch.ones(size))
        torch.manual_seed(3)
        assert torch.equal(dropout(torch.ones(size)), first)
    assert not torch.equal(dropout(torch.ones(100)), dropout(torch.ones(100)))


def test_dropout_keeps_everything_outside_training_and_at_probability_0():
    inputs = torch.rand(5, 3)
    assert torch.equal(PackedDropout(0.5).eval()(inputs), inputs)
    assert torch.equal(PackedDropout(0.0)(inputs), inputs)
    assert PackedDropout(0.9999999)(inputs).isfinite().all()
