"""Curves to zoom into and to read values off, inside the report's page and without a network."""

from collections.abc import Mapping

import pandas as pd
from plotly.graph_objects import Figure, Scatter
from plotly.offline import get_plotlyjs

from pipeline.reporting.figures import COLOURS, curve_panels
from pipeline.scoring.evaluation import ScoredPeer, StudyEvaluation
from pipeline.study.params import WINNER

POINTS = 400
"""How many points of a curve are drawn, at most."""
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d"],
}


def library() -> str:
    """Plotly's program text, to be placed in the page once."""
    text: str = get_plotlyjs()
    return text


def interactive_curves(curves: Mapping[str, pd.DataFrame], evaluation: StudyEvaluation) -> list[tuple[str, str]]:
    """A title and an HTML fragment for each kind of curve of `curve_panels`; a line a run or peer."""
    runs = evaluation.scored
    variants = list(dict.fromkeys(run.variant for run in runs))
    found = []
    for kind, title, x, y in curve_panels(evaluation):
        figure = Figure()
        for run in runs:
            frame = curves[run.key]
            shown = frame[(frame["curve"] == kind) & (frame["x"] > 0)]
            shown = shown.iloc[:: max(1, len(shown) // POINTS)]
            figure.add_trace(
                Scatter(
                    x=_rounded(shown["x"]),
                    y=_rounded(shown["y"]),
                    customdata=_rounded(shown["threshold"]),
                    name=run.label,
                    mode="lines",
                    line={"color": COLOURS[variants.index(run.variant) % len(COLOURS)]},
                    visible=True if run.variant == WINNER or isinstance(run, ScoredPeer) else "legendonly",
                    hovertemplate="%{x:.3g}, %{y:.3f} at threshold %{customdata:.3g}",
                )
            )
        clear, line = "rgba(0,0,0,0)", "rgba(128,128,128,0.3)"
        figure.update_layout(
            xaxis={"title": x, "type": "log", "exponentformat": "power", "gridcolor": line},
            yaxis={"title": y, "range": [0, 1.02], "gridcolor": line, "zerolinecolor": line},
            paper_bgcolor=clear,
            plot_bgcolor=clear,
            font={"color": "#808080"},
            modebar={"bgcolor": clear, "color": "#808080", "activecolor": "#0072b2"},
            height=420,
            margin={"l": 60, "r": 10, "t": 10, "b": 50},
            legend={"orientation": "h", "y": -0.25},
        )
        html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"plot-{kind}", config=CONFIG)
        found.append((title, html))
    return found


def _rounded(values: pd.Series) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
