"""Convolution by a product of matrices."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.nn.functional import conv2d
from torch.testing import assert_close

from ferlab.networks import convolution
from ferlab.networks.convolution import LARGEST_MAP, Convolution, ProductConvolution

SHAPES = [
    (2, 3, 4, 5, 5, 3),
    (1, 1, 2, 6, 4, 5),
    (3, 2, 1, 1, 1, 3),
    (2, 2, 3, 5, 4, 4),
    (1, 2, 2, 3, 1, 2),
]
"""Images, inputs, outputs, height, width, kernel."""


def draw(shape, dtype=torch.float64):
    n_maps, n_inputs, n_outputs, height, width, kernel = shape
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(n_maps, n_inputs, height, width, generator=random, dtype=torch.float64)
    weight = torch.randn(n_outputs, n_inputs, kernel, kernel, generator=random, dtype=torch.float64)
    return maps.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()


pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_product_is_the_convolution(shape):
    maps, weight = draw(shape)
    assert_close(ProductConvolution.apply(maps, weight), conv2d(maps, weight, padding="same"))


@pytest.mark.parametrize("shape", SHAPES)
def test_its_gradients_are_the_derivatives(shape):
    assert gradcheck(ProductConvolution.apply, draw(shape))


def test_images_need_no_gradient():
    maps, weight = draw(SHAPES[0])
    ProductConvolution.apply(maps.detach(), weight).sum().backward()
    (wanted,) = torch.autograd.grad(conv2d(maps, weight, padding="same").sum(), weight)
    assert_close(weight.grad, wanted)


@pytest.fixture
def amx(monkeypatch):
    """Take the product as on a CPU with AMX, whatever this one has; return the products taken."""
    taken = []

    class Counted(ProductConvolution):
        @staticmethod
        def forward(ctx, maps, weight):
            taken.append(maps.shape)
            return ProductConvolution.forward(ctx, maps, weight)

    monkeypatch.setattr(convolution, "_has_amx", lambda: True)
    monkeypatch.setattr(convolution, "ProductConvolution", Counted)
    return taken


@pytest.mark.parametrize(("kernel", "bias"), [(3, True), (3, False), (4, True)])
def test_a_training_step_in_bf16_gives_what_pytorch_gives(amx, kernel, bias):
    torch.manual_seed(0)
    ours = Convolution(4, 6, kernel, padding="same", bias=bias)
    theirs = nn.Conv2d(4, 6, kernel, padding="same", bias=bias)
    theirs.load_state_dict(ours.state_dict())
    maps = torch.randn(8, 4, 5, 5).to(memory_format=torch.channels_last)
    outputs = []
    for module in (ours, theirs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = module(maps)
        output.float().square().sum().backward()
        outputs.append(output)
    assert len(amx) == 1
    assert outputs[0].dtype == outputs[1].dtype == torch.bfloat16
    assert_close(*outputs, rtol=0.02, atol=0.02)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad.dtype == torch.float32
        assert_close(mine.grad, other.grad, rtol=0.03, atol=0.03 * other.grad.abs().max())


def test_large_maps_full_precision_and_predictions_stay_with_pytorch(amx):
    small, large = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, LARGEST_MAP + 1, 8)
    module = Convolution(2, 3, 3, padding="same")
    module(small)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        module(large)
        with torch.no_grad():
            module(small)
    assert not amx
    with torch.autocast("cpu", dtype=torch.bfloat16):
        module(small)
    assert len(amx) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 1},
        {"kernel_size": 4, "padding": 2},
        {"kernel_size": 3},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": (3, 5), "padding": "same"},
    ],
    ids=str,
)
def test_other_convolutions_are_pytorchs(amx, arguments):
    module = Convolution(2, 4, **arguments)
    maps = torch.randn(2, 2, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(module(maps), nn.Conv2d.forward(module, maps))
    assert not amx
