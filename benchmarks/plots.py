"""Plots of the results' curves as SVG: the same results give the same files, byte for byte."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTINGS: Final[dict[Any, Any]] = {
    "svg.hashsalt": "guardrails",  # ids come from it, not from chance
    "svg.fonttype": "none",  # text stays text: it can be searched, and needs no font here
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_WIDE: Final = 1000
"""A growth of a size by more than this is shown by its logarithm."""


def plot(curve: Mapping[str, Any], caption: str) -> str:
    """A curve of the results as the text of an SVG file.

    Args:
        curve: As in ``results.json``.
        caption: Where and when it was measured.
    """
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for name, points in curve["lines"].items():
            found = sorted((int(size), each) for size, each in points.items())
            sizes = [size for size, _ in found]
            medians = [each["median"] for _, each in found]
            spans = [
                [each["median"] - each["low"] for _, each in found],
                [each["high"] - each["median"] for _, each in found],
            ]
            axes.errorbar(sizes, medians, spans, label=name, marker="o", markersize=4, capsize=2)
        every = sorted({int(size) for points in curve["lines"].values() for size in points})
        axes.set_xscale("log", base=10 if every[-1] >= _WIDE else 2)
        axes.set_xticks(every, [f"{size:,}" for size in every])
        axes.minorticks_off()
        if len(curve["lines"]) > 1:
            axes.set_yscale("log")
            axes.legend(frameon=False)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(curve["along"])
        axes.set_ylabel(curve["unit"])
        axes.set_title(caption, fontsize=7, color="#666666", loc="left")
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
