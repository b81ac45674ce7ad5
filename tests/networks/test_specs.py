"""Layer specs: what they mean, and how a wrong one is refused."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ferlab.checks import FerlabError
from ferlab.networks.specs import ACTIVATIONS, parse_network, to_layers


def test_every_row_knows_the_shape_it_leaves():
    spec = parse_network(
        [{"conv": 8, "kernel": 5, "pool": 2}, {"conv": 16, "pool": 5}, "flatten", {"dense": 32}]
    )
    assert spec.shapes == ((8, 24, 24), (16, 4, 4), (256,), (32,))
    assert spec.n_features == 32


rows = st.lists(
    st.fixed_dictionaries(
        {"conv": st.integers(1, 8)},
        optional={
            "kernel": st.integers(1, 5),
            "batch_norm": st.booleans(),
            "activation": st.sampled_from(ACTIVATIONS),
            "pool": st.integers(1, 2),
            "dropout": st.floats(0, 0.9),
        },
    ),
    max_size=4,
)


@given(rows, st.lists(st.fixed_dictionaries({"dense": st.integers(1, 9)}), max_size=2))
def test_a_spec_survives_its_own_yaml(convolutions, dense):
    spec = parse_network([*convolutions, "flatten", *dense], name="any", initialisation="torch")
    layers = yaml.safe_load(yaml.safe_dump(to_layers(spec)))
    assert parse_network(layers, name="any", initialisation="torch") == spec


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"conv": 8, "kernal": 3}, "flatten"], "layer 0: unknown key 'kernal', did you mean"),
        ([{"conv": 8, "kernel": "three"}, "flatten"], "layer 0: kernel must be a positive integer"),
        ([{"conv": 0}, "flatten"], "layer 0: conv must be a positive integer; got 0"),
        ([{"conv": True}, "flatten"], "layer 0: conv must be a positive integer"),
        ([{"conv": 2.5}, "flatten"], "layer 0: conv must be a positive integer"),
        ([{"conv": 8, "dropout": 1}, "flatten"], r"layer 0: dropout must be a number in \[0, 1\)"),
        ([{"conv": 8, "dropout": float("nan")}, "flatten"], "layer 0: dropout must be"),
        (
            [{"conv": 8, "batch_norm": "yes"}, "flatten"],
            "layer 0: batch_norm must be true or false",
        ),
        ([{"conv": 8, "activation": "relo"}, "flatten"], "did you mean 'relu'"),
        ([{"conv": 8, "activation": ["relu"]}, "flatten"], "layer 0: activation must be one of"),
        ([{"conv": 8, "pool": -2}, "flatten"], "layer 0: pool must be a positive integer"),
        ([{"conv": 8, "pool": 48}, {"conv": 8, "pool": 2}], "layer 1: a 2×2 pooling of a 1×1 map"),
        (["flatten", {"conv": 8}], "layer 1: conv needs a map"),
        ([{"conv": 8}, {"dense": 8}], "layer 1: dense needs a vector"),
        (["flatten", "flatten"], "layer 1: flatten of what is a vector already"),
        (["flaten"], "layer 0: a row is `flatten` or a mapping"),
        ([{"conv": 8, "dense": 8}], "layer 0: a row is `flatten` or a mapping"),
        ([None], "layer 0: a row is"),
        ([{3: 4}], "layer 0: a row is"),
        ([{"conv": 8}], "the last layer leaves a map of 8×48×48"),
        ([], "layers must be a list of rows"),
        ("flatten", "layers must be a list of rows"),
        (None, "layers must be a list of rows"),
        ({"conv": 8}, "layers must be a list of rows"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_layer_and_the_reason(layers, message):
    with pytest.raises(FerlabError, match=message) as refused:
        parse_network(layers, name="F")
    assert str(refused.value).startswith("model F")
    assert "\n" not in str(refused.value)


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(FerlabError, match="initialisation must be one of keras, torch"):
        parse_network(["flatten"], initialisation="he")
