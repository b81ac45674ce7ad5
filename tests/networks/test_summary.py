"""What networks cost, against published and independent counts."""

import pytest
import torch
from models import MODELS, model
from torch.utils.flop_counter import FlopCounterMode

from ferlab.networks.build import LayeredNetwork
from ferlab.networks.specs import parse_network
from ferlab.networks.summary import summarise

BLOCKS = parse_network(
    [
        {"conv": 8, "stride": 2, "batch_norm": True},
        {"conv": 8, "kernel": 5, "groups": 4, "padding": 1},
        {"residual": 16, "stride": 2, "batch_norm": True, "squeeze_excite": 4},
        {"squeeze_excite": 8},
        {"average_pool": 3, "stride": 2},
        "global_average",
        {"dropout": 0.5},
    ],
    name="blocks",
)


def total(spec, what):
    return sum(getattr(row, what) for row in summarise(spec))


@pytest.mark.parametrize("spec", [*map(model, MODELS), BLOCKS], ids=lambda spec: spec.name)
def test_multiply_accumulates_are_half_of_pytorchs_operations(spec):
    with torch.device("meta"):
        network = LayeredNetwork(spec).eval()
        with FlopCounterMode(display=False) as counter:
            network.output(network.features(torch.empty(1, *spec.input_shape)))
    assert total(spec, "macs") == counter.get_total_flops() / 2


def test_model_f_costs_what_the_report_says():
    spec = model("F")
    assert total(spec, "trainable") == 4_474_759
    assert total(spec, "statistics") == 3_968
    assert total(spec, "macs") / 1e6 == pytest.approx(290.5, abs=0.05)


def test_model_fs_rows_have_the_parameters_that_keras_counts():
    rows = summarise(model("F"))
    assert [row.trainable + row.statistics for row in rows] == [
        64 * (9 + 1) + 4 * 64,
        128 * (64 * 25 + 1) + 4 * 128,
        512 * (128 * 9 + 1) + 4 * 512,
        512 * (512 * 9 + 1) + 4 * 512,
        0,
        256 * (4608 + 1) + 4 * 256,
        512 * (256 + 1) + 4 * 512,
        7 * (512 + 1),
    ]


def test_vggnet_has_the_parameters_of_its_paper():
    assert total(model("vggnet"), "trainable") / 1e6 == pytest.approx(29.89, abs=0.005)


def test_model_a_is_the_reports_baseline():
    parts = [part for row in summarise(model("A")) for part in row.parts]
    assert sum("3×3" in part for part in parts) == 2
    assert sum("MaxPool" in part for part in parts) == 2
    assert [part for part in parts if "Dense" in part] == ["Dense 128", "Dense 7"]


def test_rows_are_named_as_in_the_reports_table():
    assert [row.parts for row in summarise(model("F"))][3:6] == [
        ("Conv 512 3×3", "BatchNorm", "ReLU", "MaxPool 2×2", "Dropout 0.25"),
        ("Flatten",),
        ("Dense 256", "BatchNorm", "ReLU", "Dropout 0.25"),
    ]


def test_every_kind_of_row_has_words():
    assert [row.parts for row in summarise(BLOCKS)] == [
        ("Conv 8 3×3 stride 2", "BatchNorm", "ReLU"),
        ("Conv 8 5×5 padding 1 groups 4", "ReLU"),
        ("Residual 16 3×3 stride 2", "BatchNorm", "ReLU", "SqueezeExcite 1/4"),
        ("SqueezeExcite 1/8",),
        ("AveragePool 3×3 stride 2",),
        ("GlobalAverage",),
        ("Dropout 0.5",),
        ("Dense 7", "Softmax"),
    ]


def test_a_summary_leaves_the_random_numbers_alone():
    before = torch.random.get_rng_state()
    summarise(model("F"))
    assert torch.equal(torch.random.get_rng_state(), before)
