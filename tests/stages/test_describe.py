"""`ferlab describe` from its command line to its table."""

from pathlib import Path

import pytest

from ferlab.cli import main


@pytest.fixture
def describe(capfd):
    """`ferlab describe`: overrides to exit status, standard output, standard error."""

    def run(*overrides):
        status = main(["describe", *overrides])
        out, err = capfd.readouterr()
        assert not list(Path.cwd().iterdir())  # it only prints
        return status, out, err

    return run


def test_a_networks_table_ends_in_the_reports_total(describe):
    status, out, err = describe("model=F")
    assert status == 0, err
    (total,) = (line for line in out.splitlines() if line.split()[:1] == ["all"])
    assert total.split() == ["all", "4,478,727", "290,475,520"]
    assert "128×12×12" in out


def test_an_overridden_row_is_described_as_it_is_then(describe):
    _, out, _ = describe("model=A", "model.layers.1.kernel=5")
    assert "Conv 64 5×5" in out


def test_networks_side_by_side_in_the_order_asked_for(describe):
    status, out, err = describe("models=[F,A,vggnet]", "format=markdown")
    assert status == 0, err
    header = out.splitlines()[2]
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["", "F", "A", "vggnet"]
    assert "29,890,759" in out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["models=[A,vgnet]"], "there is no model 'vgnet', did you mean 'vggnet'?; the models are"),
        (["models=[../train]"], "there is no model '../train'"),
        (["models=A"], "models must be a list of names such as [A,F]; got 'A'"),
        (["models=[]"], "models must be a list of names such as [A,F]; got []"),
        (["models=[[A]]"], "there is no model ['A']"),
        (["model=G"], "there is no model=G; model is one of A, B"),
        (["format=html"], "format must be one of text, markdown; got 'html'"),
        (["+model.layers.1.kernal=3"], "layer 1: unknown key 'kernal', did you mean 'kernel'?"),
        (["model.layers=null"], "model F: layers must be a list of rows; got None"),
        (["+model.layer=[]"], "model has no 'layer', did you mean 'layers'?"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(describe, overrides, message):
    status, out, err = describe(*overrides)
    assert status == 1
    assert out == ""
    (line,) = err.splitlines()
    assert message in line
