"""Optuna's plots of a search as one page that needs nothing beside it."""

from pathlib import Path
from typing import Any

import optuna
import plotly.io
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
    plots = [
        (
            "Trial by trial",
            plot_optimization_history(study, target_name=metric),
            "A point is a trial that came to its end, the line the best so far.",
        ),
        (
            "Epoch by epoch",
            plot_intermediate_values(study),
            f"{metric} of each trial; a pruned trial ends early.",
        ),
        (
            "Parameters together",
            plot_parallel_coordinate(study, target_name=metric),
            "A line is a trial. Drag along an axis to choose some.",
        ),
        (
            "Parameters one by one",
            plot_slice(study, target_name=metric),
            "A point is a trial; the darker, the later.",
        ),
    ]
    if trials.counts["complete"] > 1:
        importances = (
            "Importance of the parameters",
            plot_param_importances(study, target_name=metric),
            f"Share in the variance of {metric} (PED-ANOVA, Watanabe et al. 2023).",
        )
        plots.insert(2, importances)
    page.write_page(
        path,
        title,
        *(
            page.section(heading, page.paragraph(caption, soft=True), _as_html(plot, index == 0))
            for index, (heading, plot, caption) in enumerate(plots)
        ),
        page.section(
            "All trials",
            page.paragraph(trials.describe_counts(), soft=True),
            page.table(trials.header, trials.rows()),
            *map(page.paragraph, trials.failures()),
        ),
    )


def _as_html(plot: Any, is_first: bool) -> str:
    """Return a plot; the first one brings plotly's script, which the others need too."""
    plot.update_layout(title=None, margin={"l": 60, "r": 20, "t": 20, "b": 60})
    html: str = plotly.io.to_html(
        plot, full_html=False, include_plotlyjs=is_first, config={"responsive": True}
    )
    return f'<div class="scroll">{html}</div>'
