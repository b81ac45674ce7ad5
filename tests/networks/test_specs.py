"""Layer specs: what they mean, and how a wrong one is refused."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from models import MODELS, model

from ferlab.checks import FerlabError
from ferlab.networks.rows import ACTIVATIONS, BatchNorm, Convolution
from ferlab.networks.specs import parse_model, parse_network, to_layers

batch_norms = st.booleans() | st.fixed_dictionaries(
    {}, optional={"momentum": st.floats(0.01, 1), "epsilon": st.floats(1e-9, 1e-2)}
)
convolutions = st.fixed_dictionaries(
    {"conv": st.sampled_from([4, 8])},
    optional={
        "kernel": st.sampled_from([1, 3]),
        "stride": st.integers(1, 2),
        "padding": st.just("same") | st.integers(1, 3),
        "groups": st.just(1),
        "batch_norm": batch_norms,
        "activation": st.sampled_from(list(ACTIVATIONS)),
        "pool": st.just(1),
        "dropout": st.floats(0, 0.9),
    },
)
residuals = st.fixed_dictionaries(
    {"residual": st.sampled_from([4, 8])},
    optional={
        "kernel": st.sampled_from([1, 3]),
        "stride": st.integers(1, 2),
        "batch_norm": batch_norms,
        "squeeze_excite": st.integers(1, 4),
    },
)
others = st.one_of(
    st.fixed_dictionaries({"squeeze_excite": st.integers(1, 4)}),
    st.fixed_dictionaries({"max_pool": st.just(2)}, optional={"stride": st.integers(1, 2)}),
    st.fixed_dictionaries({"average_pool": st.just(2)}, optional={"stride": st.just(1)}),
    st.fixed_dictionaries({"dropout": st.floats(0, 0.9)}),
)
ends = st.sampled_from(["flatten", "global_average", {"torchvision": "resnet34"}])
denses = st.fixed_dictionaries({"dense": st.integers(1, 9)}, optional={"batch_norm": batch_norms})


@given(
    convolutions,
    st.lists(convolutions | residuals | others, max_size=3),
    ends,
    st.lists(denses, max_size=2),
)
def test_a_spec_survives_its_own_yaml(first, maps, end, vectors):
    spec = parse_network([first, *maps, end, *vectors], "any", "torch", input_size=48)
    layers = yaml.safe_load(yaml.safe_dump(to_layers(spec)))
    assert parse_network(layers, "any", "torch", input_size=48) == spec


def test_every_row_knows_the_shape_it_leaves():
    spec = parse_network(
        [{"conv": 8, "kernel": 5, "pool": 2}, {"conv": 16, "pool": 5}, "flatten", {"dense": 32}]
    )
    assert spec.shapes == ((8, 24, 24), (16, 4, 4), (256,), (32,))
    assert spec.n_features == 32


def test_a_written_spec_names_all_its_values_so_that_no_default_can_change_it():
    (layer, _) = to_layers(parse_network([{"conv": 8, "batch_norm": True}, "flatten"]))
    assert layer == {
        "conv": 8,
        "kernel": 3,
        "stride": 1,
        "padding": "same",
        "groups": 1,
        "batch_norm": {"momentum": 0.01, "epsilon": 1e-3},
        "activation": "relu",
        "pool": 1,
        "dropout": 0.0,
    }


def test_batch_norm_is_keras_unless_its_values_are_given():
    def norm(value):
        (row, _) = parse_network([{"conv": 8, "batch_norm": value}, "flatten"]).rows
        assert isinstance(row, Convolution)
        return row.batch_norm

    assert norm(False) is None
    assert norm(True) == BatchNorm(momentum=0.01, epsilon=1e-3)  # Keras' 0.99 weighs the past
    assert norm({"momentum": 0.1, "epsilon": 1e-5}) == BatchNorm(momentum=0.1, epsilon=1e-5)
    assert norm({"epsilon": 1e-5}) == BatchNorm(momentum=0.01, epsilon=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_models_file_is_called_what_the_model_is_called(name):
    assert model(name).name == name


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"conv": 8}, {"conv": 8, "kernal": 3}], "layer 1: unknown key 'kernal', did you mean 'k"),
        ([{"conv": 8, "kernel": "three"}], "layer 0: kernel must be an integer >= 1 and <= 48"),
        ([{"conv": 8, "kernel": 49}], "layer 0: kernel must be an integer >= 1 and <= 48; got 49"),
        ([{"conv": 0}], "layer 0: conv must be an integer >= 1 and <= 65536; got 0"),
        ([{"conv": True}], "layer 0: conv must be an integer"),
        ([{"conv": 2.5}], "layer 0: conv must be an integer"),
        ([{"conv": 10**12}], "layer 0: conv must be an integer >= 1 and <= 65536"),
        ([{"conv": 8, "stride": 0}], "layer 0: stride must be an integer >= 1"),
        ([{"conv": 8, "stride": None}], "layer 0: stride must be an integer >= 1"),
        ([{"conv": 8, "padding": -1}], "layer 0: padding must be an integer >= 0"),
        ([{"conv": 8, "padding": "valid"}], "layer 0: padding must be 'same' or an integer >= 0"),
        ([{"conv": 8, "kernel": 4, "stride": 2}], "layer 0: padding 'same' with a stride needs an"),
        (
            [{"conv": 8, "pool": 16}, {"conv": 8, "kernel": 5, "padding": 0}],
            "layer 1: a 5×5 convolution of a 3×3 map with padding 0",
        ),
        ([{"conv": 8, "groups": 2}], "layer 0: groups must divide the 1 channels that come in"),
        ([{"conv": 8}, {"conv": 9, "groups": 8}], "layer 1: groups must divide the 8 channels"),
        ([{"conv": 8, "dropout": 1}], "layer 0: dropout must be a number >= 0 and < 1; got 1"),
        ([{"conv": 8, "dropout": float("nan")}], "layer 0: dropout must be a number"),
        ([{"dropout": "half"}], "layer 0: dropout must be a number"),
        ([{"dropout": 0.5, "rate": 1}], "layer 0: unknown key 'rate'; dropout takes no key"),
        ([{"conv": 8, "batch_norm": "yes"}], "layer 0: batch_norm must be true, false or a mapp"),
        ([{"conv": 8, "batch_norm": {"eps": 1}}], "layer 0: batch_norm has no 'eps', did you mean"),
        ([{"conv": 8, "batch_norm": {"momentum": 0}}], "batch_norm.momentum must be a number > 0"),
        ([{"conv": 8, "batch_norm": {"epsilon": "1e-5"}}], "batch_norm.epsilon must be a number"),
        ([{"conv": 8, "activation": "relo"}], "did you mean 'relu'"),
        ([{"conv": 8, "activation": ["relu"]}], "layer 0: activation must be one of"),
        ([{"conv": 8, "pool": -2}], "layer 0: pool must be an integer >= 1"),
        ([{"conv": 8, "pool": 48}, {"conv": 8, "pool": 5}], "layer 1: a 5×5 pooling of a 1×1 map"),
        ([{"max_pool": 7, "stride": 7}, {"average_pool": 7}], "layer 1: a 7×7 pooling of a 6×6"),
        ([{"max_pool": 2, "padding": 1}], "layer 0: unknown key 'padding'; max_pool takes stride"),
        ([{"residual": 8, "kernel": 2, "stride": 2}], "layer 0: padding 'same' with a stride"),
        (
            [{"residual": 8, "squeeze_excite": 16}],
            "layer 0: squeeze_excite must be at most the num",
        ),
        ([{"residual": 8, "squeeze_excite": False}], "layer 0: squeeze_excite must be an integer"),
        ([{"squeeze_excite": 2}], "layer 0: squeeze_excite must be at most the number of channels"),
        (["flatten", {"squeeze_excite": 2}], "layer 1: squeeze_excite needs a map"),
        (["flatten", {"residual": 8}], "layer 1: residual needs a map"),
        (["global_average", {"max_pool": 2}], "layer 1: max_pool needs a map"),
        (["flatten", {"conv": 8}], "layer 1: conv needs a map"),
        (["flatten", "global_average"], "layer 1: global_average needs a map"),
        ([{"conv": 8}, {"dense": 8}], "layer 1: dense needs a vector, but receives a map of 8×48"),
        (["flatten", "flatten"], "layer 1: flatten of what is a vector already"),
        ([{"torchvision": "resnet18"}, {"conv": 8}], "layer 1: conv needs a map"),
        ([{"torchvision": "resnet19"}], "torchvision must be one of resnet18, resnet34; got 'resn"),
        ([{"torchvision": "get_model"}], "layer 0: torchvision must be one of resnet18, resnet34"),
        (["flaten"], "layer 0: a row is flatten or global_average, or .* did you mean 'flatten'"),
        ([{"cnov": 8}], "layer 0: a row is .* did you mean 'conv'"),
        ([{"kernel": 3}], "layer 0: a row is .* a mapping with one of the keys conv, dense"),
        ([{"conv": 8, "dense": 8}], "layer 0: unknown key 'dense'"),
        ([{}], "layer 0: a row is"),
        ([None], "layer 0: a row is"),
        ([["flatten"]], "layer 0: a row is"),
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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"initialisation": "he"}, "model F: initialisation must be one of keras, torch, kaiming"),
        ({"input_size": 49}, "model F: input_size must be an integer >= 1 and <= 48; got 49"),
        ({"input_size": [48, 48]}, "model F: input_size must be an integer"),
        ({"name": "../F"}, "model.name must be of letters, digits, '.', '_', '-'; got '../F'"),
        ({"name": None}, "model.name must be of letters"),
        ({"layer": []}, "model has no 'layer', did you mean 'layers'"),
    ],
)
def test_a_wrong_model_is_refused(wrong, message):
    with pytest.raises(FerlabError, match=message):
        parse_model({"name": "F", "layers": ["flatten"], **wrong})


def test_a_model_without_layers_is_refused():
    with pytest.raises(FerlabError, match="model lacks the key layers"):
        parse_model({"name": "F"})
