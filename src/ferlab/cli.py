"""The command line: `ferlab STAGE [overrides]`."""

import importlib
import sys
from collections.abc import Sequence

from ferlab.checks import did_you_mean

STAGES = {
    "train": "train one network, or with -m one per combination of values",
    "evaluate": "judge trained networks, or the mean of several, on the test images",
    "extract_and_fit": "fit classifiers of scikit-learn on the features of trained networks",
    "compare": "put every run, evaluation and classifier into one table and on one page",
    "explore": "look at a data set, its split, its augmentation and its defects",
    "tune": "search for values of train with Optuna; the best ones become a recipe",
    "describe": "print the layers of networks, their shapes, parameters and costs",
}

EXTRAS = {"optuna": "tune", "plotly": "tune"}
"""Packages that an extra of ferlab brings, and its name."""

USAGE = "\n".join(
    [
        "usage: ferlab STAGE [key=value ...]",
        "",
        "stages:",
        *(f"  {name:<17}{purpose}" for name, purpose in STAGES.items()),
        "",
        "`ferlab STAGE --help` shows the stage's configuration; `--cfg job` prints it whole.",
    ]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a stage with its overrides and return the exit status.

    Args:
        arguments: the stage's name and its overrides; None takes those of the command line.
    """
    stage, *overrides = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if stage in ("-h", "--help"):
        print(USAGE)
        return 0
    if stage not in STAGES:
        known = ", ".join(STAGES)
        hint = did_you_mean(stage, STAGES)
        print(f"ferlab: no stage {stage!r}{hint}; the stages are {known}", file=sys.stderr)
        return 1
    try:
        module = importlib.import_module(f"ferlab.stages.{stage}")
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        print(f"ferlab: {stage} needs {error.name}; pip install 'ferlab[{extra}]'", file=sys.stderr)
        return 1
    status: int = module.main(overrides)
    return status
