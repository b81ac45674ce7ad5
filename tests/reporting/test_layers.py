"""Networks as tables."""

from ferlab.networks.shapes import Layer
from ferlab.reporting.layers import format_network, format_side_by_side

SMALL = [
    Layer(("Conv 2 3×3", "BatchNorm", "ReLU"), (2, 4, 4), trainable=24, statistics=4, macs=288),
    Layer(("Flatten",), (32,), 0, 0, 0),
    Layer(("Dense 7", "Softmax"), (7,), trainable=231, statistics=0, macs=1_000_224),
]
FLAT = [Layer(("Flatten",), (2304,), 0, 0, 0), SMALL[2]]


def test_a_networks_table_has_a_line_per_layer_and_the_totals():
    assert format_network("Model X", SMALL) == (
        """\
Model X

     layer                        output  parameters       MACs
---------------------------------------------------------------
  0  Conv 2 3×3, BatchNorm, ReLU  2×4×4           28        288
  1  Flatten                      32               0          0
     Dense 7, Softmax             7              231  1,000,224
---------------------------------------------------------------
     all                                         259  1,000,512

255 parameters are trainable, 4 are statistics of batch normalisation.
1.0 million multiply-accumulates forward per image."""
    )


def test_a_networks_table_in_markdown():
    assert format_network("Model X", SMALL, "markdown").splitlines()[:5] == [
        "### Model X",
        "",
        "|     | layer                       | output | parameters |      MACs |",
        "| --: | --------------------------- | ------ | ---------: | --------: |",
        "|   0 | Conv 2 3×3, BatchNorm, ReLU | 2×4×4  |         28 |       288 |",
    ]


def test_networks_stand_side_by_side_whatever_their_depth():
    assert format_side_by_side("Models X, Y", {"X": SMALL, "Y": FLAT}) == (
        """\
Models X, Y

            X           Y
---------------------------------
0           Conv 2 3×3  Flatten
            BatchNorm
            ReLU
1           Flatten
---------------------------------
features    32          2,304
trainable   255         231
statistics  4           0
parameters  259         231
MACs        1,000,512   1,000,224"""
    )


def test_networks_side_by_side_in_markdown():
    lines = format_side_by_side("Models X, Y", {"X": SMALL, "Y": FLAT}, "markdown").splitlines()
    assert lines[2:5] == [
        "|            | X                               | Y         |",
        "| ---------- | ------------------------------- | --------- |",
        "| 0          | Conv 2 3×3<br>BatchNorm<br>ReLU | Flatten   |",
    ]
