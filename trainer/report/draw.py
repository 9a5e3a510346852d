"""Charts as Bokeh draws them: one column, one axis of pictures seen, no request to anybody.

Owns colours, sizes and what a reader can do: move and zoom all charts together, read values under
the pointer, switch lines off in the legend.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainer.report.run_view import Event
from trainer.report.series import Chart, Line

if TYPE_CHECKING:
    from bokeh.plotting import figure

# Okabe and Ito's colours, told apart by those who see red and green alike; black and yellow left
# out, because they vanish on one of the two backgrounds.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Of lines; the page's script gives text the colour of the scheme.
_GREY = "#777777"
_DASHES = ("solid", "dashed", "dotted", "dotdash")
_HEIGHT_PX, _LANE_PX = 230, 110
_MARKERS = {
    "start": "triangle",
    "resume": "triangle",
    "resize": "square",
    "roll-back": "inverted_triangle",
    "end": "x",
    "checkpoint": "dash",
}


def library() -> str:
    """Returns Bokeh's script, to stand inside the page."""
    from bokeh.resources import Resources

    return "\n".join(Resources(mode="inline", components=["bokeh"], minified=True).js_raw)


def items(
    charts: Sequence[Chart], lanes: Sequence[tuple[str, Sequence[Event], int]]
) -> list[dict[str, Any]]:
    """Returns each chart as Bokeh draws it, ready for JSON.

    One document each, so that the page can draw a chart when it comes into sight: drawing all at
    once takes longer than the rest of the opening. The page keeps their ranges together.

    Args:
        charts: In order.
        lanes: Of each run its name, history and global batch; together the last chart.
    """
    from bokeh.embed import json_item

    last = max((line.images[-1] for chart in charts for line in chart.lines), default=1.0)
    drawn = [_chart(chart, last) for chart in charts]
    if lanes:
        drawn.append(_history(lanes, last))
    return [json_item(plot) for plot in drawn]


def _plain(title: str, last_images: float, height: int, **more: Any) -> "figure":
    from bokeh.models import NumeralTickFormatter, Range1d
    from bokeh.plotting import figure

    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        x_range=Range1d(0, last_images * 1.02),
        tools="pan,box_zoom,reset,save",
        toolbar_location="right",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=_GREY,
        # Screen readers get it; the heading above the chart is the page's.
        name=title,
        **more,
    )
    plot.toolbar.logo = None
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = _GREY
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = _GREY
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = _GREY, 0.25
    plot.xaxis.formatter = NumeralTickFormatter(format="0.[0]a")
    plot.xaxis.axis_label = "pictures seen"
    return plot


def _chart(chart: Chart, last_images: float) -> "figure":
    from bokeh.models import HoverTool

    plot = _plain(chart.title, last_images, _HEIGHT_PX)
    plot.yaxis.axis_label = chart.unit or None
    several_runs = len({line.run for line in chart.lines}) > 1
    for place, line in enumerate(chart.lines):
        _line(plot, line, COLOURS[(line.run if several_runs else place) % len(COLOURS)], place)
    plot.add_tools(
        HoverTool(tooltips=[("", "@name"), ("pictures", "@x{0,0}"), ("value", "@y{0.[00000]}")])
    )
    legend = plot.legend[0] if plot.legend else None
    if legend is not None:
        legend.click_policy = "hide"
        legend.location = "top_right"
        legend.label_text_color, legend.border_line_alpha = _GREY, 0.0
        legend.background_fill_alpha = 0.0
        legend.visible = len(chart.lines) > 1
    return plot


def _line(plot: "figure", line: Line, colour: str, place: int) -> None:
    from bokeh.models import ColumnDataSource

    data = {"x": line.images, "y": line.values, "name": [line.label] * len(line.values)}
    source = ColumnDataSource(data)
    dash = _DASHES[place // len(COLOURS) % len(_DASHES)]
    plot.line(
        "x", "y", source=source, color=colour, width=1.6, legend_label=line.label, line_dash=dash
    )
    if line.errors is None and len(line.values) > 60:
        return
    plot.scatter("x", "y", source=source, color=colour, size=5, legend_label=line.label)
    if line.errors is not None:
        source.data["low"] = line.values - line.errors
        source.data["high"] = line.values + line.errors
        # Not Bokeh's whiskers: its axes do not make room for them.
        bars = {"source": source, "color": colour, "legend_label": line.label}
        plot.segment("x", "low", "x", "high", **bars)
        for end in ("low", "high"):
            plot.scatter("x", end, marker="dash", size=8, **bars)


def _history(lanes: Sequence[tuple[str, Sequence[Event], int]], last_images: float) -> "figure":
    from bokeh.models import ColumnDataSource, HoverTool

    several = len(lanes) > 1
    kinds = [kind for kind in _MARKERS if any(e.kind == kind for _, had, _ in lanes for e in had)]
    rows = [_row(number, kind, several) for number in range(len(lanes)) for kind in kinds]
    height = _LANE_PX + 22 * max(0, len(rows) - 2)
    plot = _plain("History", last_images, height, y_range=rows[::-1] or ["start"])
    for number, (_, events, batch) in enumerate(lanes):
        for kind in kinds:
            own = [event for event in events if event.kind == kind]
            columns = {
                "x": [event.step * batch for event in own],
                "y": [_row(number, kind, several)] * len(own),
                "told": [event.told for event in own],
                "time": [event.time or "not noted" for event in own],
            }
            colour = COLOURS[number % len(COLOURS)]
            source = ColumnDataSource(columns)
            plot.scatter("x", "y", source=source, marker=_MARKERS[kind], size=11, color=colour)
    tips = [("", "@told"), ("when", "@time"), ("pictures", "@x{0,0}")]
    plot.add_tools(HoverTool(tooltips=tips))
    return plot


def _row(number: int, kind: str, several: bool) -> str:
    return f"{number + 1}. {kind}" if several else kind
