"""Optuna's plots of a search as one page that needs nothing beside it."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import plotly.io
import plotly.offline
from optuna.visualization import (
    plot_intermediate_values,
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_param_importances,
    plot_slice,
)

from ferlab.reporting import page
from ferlab.reporting.trials import Trials


def write_search_page(path: Path, title: str, study: optuna.Study, trials: Trials) -> None:
    """Write the plots and all trials; plotly's script, 5 MB, is part of the page once.

    Args:
        path: of the HTML file.
        title: of the page.
        study: with a trial that came to its end.
        trials: of the study.
    """
    metric = trials.metric
    n_parameters = len(trials.parameters)
    epochs = plot_intermediate_values(study)
    epochs.update_layout(xaxis_title="epoch", yaxis_title=metric)
    page.write_page(
        path,
        title,
        f"<script>{plotly.offline.get_plotlyjs()}</script>",
        page.section(
            "Trial by trial",
            page.paragraph("A point is a trial that came to its end, the line the best so far."),
            _as_html(plot_optimization_history(study, target_name=metric)),
        ),
        page.section(
            "Epoch by epoch",
            page.paragraph(f"{metric} of each trial; a pruned trial ends early."),
            _as_html(epochs),
        ),
        *_importances(study, metric),
        page.section(
            "Parameters together",
            page.paragraph("A line is a trial. Drag along an axis to choose some."),
            _as_html(plot_parallel_coordinate(study, target_name=metric), n_parameters + 1),
        ),
        page.section(
            "Parameters one by one",
            page.paragraph("A point is a trial; the darker, the later."),
            _as_html(plot_slice(study, target_name=metric), n_parameters, width=14),
        ),
        page.section(
            "All trials",
            page.paragraph(trials.describe_counts()),
            page.table(trials.header, trials.rows()),
            *map(page.paragraph, trials.failures()),
        ),
    )


def _importances(study: optuna.Study, metric: str) -> Iterator[str]:
    """Yield a section, or none where the trials are too few to tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Optuna would show all as equal
        try:
            plot = plot_param_importances(study, target_name=metric)
        except UserWarning:
            return
    yield page.section(
        "Importance of the parameters",
        page.paragraph(f"Share in the variance of {metric} (PED-ANOVA, Watanabe et al. 2023)."),
        _as_html(plot),
    )


def _as_html(plot: Any, columns: int = 1, width: int = 9) -> str:
    """Return a plot, which a narrow screen scrolls sideways where it has many columns.

    Args:
        plot: plotly's.
        columns: side by side.
        width: least of a column, in letters' heights.
    """
    plot.update_layout(
        title=None,
        width=None,
        legend={"orientation": "h"},
        margin={"l": 60, "r": 20, "t": 20, "b": 60},
    )
    config = {"responsive": True, "displaylogo": False}
    html: str = plotly.io.to_html(plot, full_html=False, include_plotlyjs=False, config=config)
    return f'<div class="scroll"><div style="min-width: {width * columns}rem">{html}</div></div>'
