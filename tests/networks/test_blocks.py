"""Blocks that PyTorch does not have, against torchvision's and against their definitions."""

import torch
from torchvision.models.resnet import BasicBlock, resnet18

from ferlab.networks.blocks import ResidualBlock, make_torchvision
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
