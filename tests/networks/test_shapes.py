"""Shapes before anything is built, against what PyTorch's modules leave."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import MODELS, model

from ferlab.checks import FerlabError
from ferlab.networks.build import LayeredNetwork
from ferlab.networks.specs import parse_network


def assert_shapes_are_those_of_the_modules(spec):
    with torch.device("meta"):
        network = LayeredNetwork(spec).eval()
        values = torch.empty(2, *spec.input_shape)
        for module, shape in zip(network.layers, spec.shapes, strict=True):
            values = module(values)
            assert tuple(values.shape[1:]) == shape


@pytest.mark.parametrize("name", MODELS)
def test_a_models_shapes_are_those_of_its_modules(name):
    assert_shapes_are_those_of_the_modules(model(name))


@given(
    size=st.integers(1, 48),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 5),
    padding=st.just("same") | st.integers(0, 6),
    pool=st.integers(1, 4),
)
def test_a_convolutions_shape_is_pytorchs_or_refused(size, kernel, stride, padding, pool):
    row = {"conv": 2, "kernel": kernel, "stride": stride, "padding": padding, "pool": pool}
    try:
        spec = parse_network([row, "flatten"], input_size=size)
    except FerlabError:
        return
    assert_shapes_are_those_of_the_modules(spec)


@given(
    size=st.integers(1, 48),
    kind=st.sampled_from(["max_pool", "average_pool"]),
    window=st.integers(1, 9),
    stride=st.integers(1, 9),
)
def test_a_poolings_shape_is_pytorchs_or_refused(size, kind, window, stride):
    try:
        spec = parse_network([{kind: window, "stride": stride}, "flatten"], input_size=size)
    except FerlabError:
        assert window > size
        return
    assert_shapes_are_those_of_the_modules(spec)


@given(size=st.integers(1, 48), kernel=st.integers(1, 7), stride=st.integers(1, 4))
def test_a_residual_blocks_shape_is_pytorchs_or_refused(size, kernel, stride):
    row = {"residual": 4, "kernel": kernel, "stride": stride, "squeeze_excite": 2}
    try:
        spec = parse_network([row, "global_average"], input_size=size)
    except FerlabError:
        assert stride > 1
        assert kernel % 2 == 0
        return
    assert_shapes_are_those_of_the_modules(spec)
