"""Numbers as what the plots of a page are drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDTH: Final = 600
HEIGHT: Final = 100

_BARS: Final = 20


def columns(
    rows: Sequence[tuple[int, Sequence[int]]], order: Sequence[str]
) -> list[dict[str, Any]]:
    """Spans of time as stacked columns of a plot of :data:`WIDTH` by :data:`HEIGHT`.

    Args:
        rows: When each span begins, in nanoseconds, and its counts, which have nothing in common.
        order: The styles of the counts, the lowest part of a column first; counts stand in
            `rows` in this order, too.
    """
    tallest = max((sum(counts) for _, counts in rows), default=0) or 1
    width = WIDTH / max(len(rows), 1)
    found = []
    for index, (start, counts) in enumerate(rows):
        parts, below = [], 0
        for style, count in zip(order, counts, strict=True):
            below += count
            if count:
                parts.append(
                    {
                        "style": style,
                        "y": round(HEIGHT - HEIGHT * below / tallest, 2),
                        "height": round(HEIGHT * count / tallest, 2),
                    }
                )
        found.append(
            {
                "time": start,
                "x": round(index * width, 2),
                "width": round(width * 0.85, 2),
                "parts": parts,
                "total": sum(counts),
                **dict(zip(order, counts, strict=True)),
            }
        )
    return found


def bars(rows: Iterable[Mapping[str, Any]], name: str, value: str) -> list[dict[str, Any]]:
    """The first rows of which `value` is not 0, each with the percentage of the largest."""
    kept = [row for row in rows if row[value]][:_BARS]
    largest = max((row[value] for row in kept), default=1)
    return [
        {"name": row[name], "value": row[value], "percent": round(100 * row[value] / largest, 2)}
        for row in kept
    ]


__all__ = ["HEIGHT", "WIDTH", "bars", "columns"]
