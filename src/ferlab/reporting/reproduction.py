"""The report rebuilt: its tables and figures, cell by cell, its values beside ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ferlab.networks.shapes import Layer, as_text
from ferlab.reporting import page
from ferlab.reporting.entries import Entry
from ferlab.reporting.literature import (
    REPORT_IMAGES,
    TABLE_1,
    TABLE_1_PARAMETERS,
    TABLE_2,
    TABLE_3,
)

DIFFERENCES = (
    "The report judged on the whole Kaggle test folder, 7,178 images (its words say 3,589). Each "
    "table here says on which images ours was judged; PublicTest alone is usually 1.5 to 3.6 "
    "points harder than PrivateTest.",
    "The report augments first and splits then, so copies of training images validate. Here the "
    "split comes first, and identical images stay on one side.",
    "The report lists the layers of Models A and F alone. B, C, D and E are reconstructions.",
    "Batch 64, Adam 5e-4, SGD 0.01 with Nesterov momentum 0.9, the plateau schedule and that "
    "validation accuracy decides are not in the report. SVM and forest are fitted on the training "
    "split's originals here.",
)
"""Where what is done here parts from the report."""


def differences_section() -> str:
    """Return where what is done here parts from the report."""
    return page.section(
        "Where this parts from the report", *(page.paragraph(text) for text in DIFFERENCES)
    )


def data_section(explored: Path, counts: Mapping[str, float]) -> str:
    """Return the data exploration: counts beside the report's, and its figures.

    Args:
        explored: a folder of `ferlab explore`.
        counts: its metrics.
    """
    training, added = counts["images/training"], counts["images/added"]
    test = sum(counts.get(f"images/{split}", 0) for split in ("test", "public", "private"))
    rows = [
        ["training images", "28,709", f"{training:,.0f}"],
        ["added by augmentation", "6,600", f"{added:,.0f}"],
        ["with these", "35,309", f"{training + added:,.0f}"],
        ["test images", "3,589 in words, 7,178 in Table 2", f"{test:,.0f}"],
    ]
    return page.section(
        "Data exploration",
        page.table(["", "the report", "ours"], rows),
        page.figure(
            explored / "distribution.png",
            "Left: images per class. Right: each class's share of a split.",
        ),
        page.figure(explored / "plan.png", "What augmentation adds to each class of an epoch."),
        page.figure(explored / "transforms.png", "One face, each transform by itself."),
    )


def table_1_section(layers: Sequence[Layer]) -> str:
    """Return Table 1: Model F's layers, the report's beside ours.

    Args:
        layers: of conf/model/F.yaml, the output layer last.
    """
    rows = [
        [reported, ", ".join(layer.parts), as_text(layer.shape), f"{layer.parameters:,}"]
        for reported, layer in zip(TABLE_1, layers, strict=True)
    ]
    total = sum(layer.parameters for layer in layers)
    rows.append(
        [f"{TABLE_1_PARAMETERS:,} parameters in Keras' count", "", "", f"{total:,} parameters"]
    )
    header = ["the report", "ours", "output", "parameters"]
    return page.section("Table 1: Model F", page.table(header, rows, texts=(0, 1)))


def models_section(entries: Sequence[Entry]) -> str:
    """Return the accuracies of every model with every optimizer, the report's beside them.

    Args:
        entries: trained networks.
    """
    rows = []
    for entry in sorted(entries, key=lambda entry: (entry.model, entry.optimizer)):
        # The report gives one number for a model, and does not say of which optimizer.
        reported = TABLE_3.get(entry.model, {}).get("network_alone")
        rows.append(
            [
                entry.model,
                entry.optimizer,
                str(entry.epochs or ""),
                *(entry.accuracy(split) for split in ("val", "test", "clean")),
                "not given" if reported is None else f"{100 * reported:.2f}",
            ]
        )
    judged_on = " and ".join(dict.fromkeys(entry.test_set for entry in entries))
    header = ["model", "optimizer", "epochs", "validation", "test", "clean", "the report"]
    return page.section(
        "Models A to F",
        page.paragraph(
            f"Accuracy, %, ± half its 95 % interval. Ours on {judged_on}. The report's on "
            f"{REPORT_IMAGES}; of which optimizer they are it does not say."
        ),
        page.table(header, rows, texts=(0, 1)),
    )


def curves_section(entries: Sequence[Entry]) -> str:
    """Return the accuracy and loss curves of each trained network."""
    ordered = sorted(entries, key=lambda entry: (entry.model, entry.optimizer))
    drawn = [
        page.figure(entry.path / "report/curves.png", f"Model {entry.model}, {entry.optimizer}")
        for entry in ordered
    ]
    return page.section("Curves", page.side_by_side(*drawn, halves=True))


def table_2_section(entry: Entry, report: Mapping[str, Mapping[str, float]]) -> str:
    """Return Table 2 and Figure 3: the best network by class, the report's values beside ours.

    Args:
        entry: the best network.
        report: its `classification_report.json`.
    """
    rows = []
    for name, (*theirs, support) in TABLE_2.items():
        ours = report[name]
        values = [ours[key] for key in ("precision", "recall", "f1-score")]
        rows.append([name, "ferlab", *_two_decimals(values), f"{ours['support']:,.0f}"])
        rows.append(["", "the report", *_two_decimals(theirs), f"{support:,}"])
    return page.section(
        f"Table 2 and Figure 3: Model {entry.model}, {entry.optimizer}, by class",
        page.paragraph(
            f"The best by validation, judged on {entry.test_set}. The report's is Model F on "
            f"{REPORT_IMAGES}."
        ),
        page.table(
            ["", "", "precision", "recall", "F1", "support"],
            rows,
            texts=(0, 1),
            cited=range(1, len(rows), 2),
        ),
        page.figure(entry.path / "report/confusion_matrix.png", "Figure 3: confusion matrix."),
    )


def _two_decimals(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]
