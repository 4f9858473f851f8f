"""Writes what is generated from ``results.json``: ``python -m benchmarks.report``.

The README's table of targets, the page of all results, and the plots. With ``--check`` nothing is
written, and the exit is 1 where a file is not what the results give.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import results
from benchmarks.gates import UNITS
from benchmarks.plots import plot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = Path("README.md")
PAGE: Final = Path("docs/benchmark-results.md")
PLOTS: Final = Path("docs/plots")
BEGIN: Final = "<!-- benchmarks: begin; written by `make bench-report` -->"
END: Final = "<!-- benchmarks: end -->"

_ORIGIN: Final = (
    "Written by `make bench-report` from `benchmarks/results.json`; do not edit."
    " [benchmarks.md](benchmarks.md) says what each part measures, and how."
)
_MORE: Final = "[All results](docs/benchmark-results.md), [how they are made](docs/benchmarks.md)."

TARGETS: Final = (
    ("calls", "sync", "a governed call, sync"),
    ("calls", "async", "a governed call, async"),
    ("setups", "record: segments, drained", "its CPU, all writers drained"),
    ("peer-calls", "@governed_tool", "a governed call"),
    ("setups", "engine: sidecar, TCP", "a governed call by the `sidecar` engine"),
    ("flat", "shaped", "a decision, `flat`"),
    ("library", "shaped", "a decision, the library"),
    ("peers", "shaped", "a decision, `flat`"),
    ("record", "segments, CPU an event", "an event written, CPU"),
    ("imports", "import guardrails", "`import guardrails`"),
)
"""The README's rows: a part, a gate's variant, and how the README calls it."""


ABSOLUTE: Final = (
    ("flat", "shaped", "a decision by a policy of one package"),
    ("library", "shaped", "by the shipped library"),
    ("calls", "sync", "a whole governed call"),
    ("calls", "async", "an async one"),
    ("peer-calls", "govern(), audit on", "beside them, a call under agent-governance-toolkit"),
    ("peer-calls", "opa-python-client", "one round trip to an OPA server"),
)
"""What stands above the table: a part, a variant, and how the README calls it."""


def files(found: Mapping[str, Any], root: Path = ROOT) -> dict[Path, str]:
    """The text of every generated file, by its place below `root`.

    Args:
        found: The results.
        root: Where the README is whose table is replaced.

    Raises:
        ValueError: the README has no place for the table.
    """
    made = {PLOTS / f"{each['name']}.svg": plot(each, _where(found)) for each in found["curves"]}
    readme = (root / README).read_text(encoding="utf-8")
    return {README: _in_readme(readme, table(found)), PAGE: page(found), **made}


def write_all(root: Path = ROOT) -> list[Path]:
    """Write them; which they are."""
    made = files(_results(root), root)
    for place, text in made.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text, encoding="utf-8")
    return list(made)


def stale(root: Path = ROOT) -> list[str]:
    """The generated files that are not what the results give, and plots of no results."""
    made = files(_results(root), root)
    wrong = [
        str(place)
        for place, text in made.items()
        if not (root / place).is_file() or (root / place).read_text(encoding="utf-8") != text
    ]
    left = {path.relative_to(root) for path in (root / PLOTS).glob("*.svg")} - made.keys()
    return sorted([*wrong, *map(str, left)])


def _results(root: Path) -> Any:
    place = root / results.PLACE.relative_to(ROOT)
    return json.loads(place.read_text(encoding="utf-8"))


def _in_readme(readme: str, text: str) -> str:
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        msg = f"README.md: there is no `{BEGIN}` with `{END}` after it"
        raise ValueError(msg)
    return f"{head}{BEGIN}\n{text}\n{END}{tail}"


def _where(found: Mapping[str, Any]) -> str:
    machine = found["machine"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, {found['python']},"
        f" {found['date'][:10]}"
    )


# ------------------------------------------------------------------------------------------ README


def table(found: Mapping[str, Any]) -> str:
    """The README's table of targets: what is reached beside each, and why where it is missed."""
    gates = [
        (called, gate)
        for part, variant, called in TARGETS
        for gate in found["gates"]
        if (gate["benchmark"], gate["variant"]) == (part, variant)
    ]
    lines = [_absolute(found), "", "| What | Target, at most | Measured | |", "|---|---|---|---|"]
    notes = []
    for called, gate in gates:
        verdict = _verdict(gate)
        if verdict == "missed" and gate["reason"]:
            if gate["reason"] not in notes:
                notes.append(gate["reason"])
            verdict = f"missed ({notes.index(gate['reason']) + 1})"
        lines.append(f"| {called} | {_target(gate)} | {_measured(gate)} | {verdict} |")
    if notes:
        told = "; ".join(f"({number}) {note}" for number, note in enumerate(notes, 1))
        lines += ["", f"Missed, since {told}."]
    lines += [
        "",
        f"Medians of ratios in one interleaved run: {_where(found)}. {_MORE}",
    ]
    return "\n".join(lines)


def _absolute(found: Mapping[str, Any]) -> str:
    """What a reader asks first, in microseconds: a machine's, and a day's."""
    told = [
        f"{called} **{_microseconds(found['benchmarks'][part]['variants'][variant]['p50'])}**"
        for part, variant, called in ABSOLUTE
        if variant in found["benchmarks"].get(part, {}).get("variants", {})
    ]
    return f"Microseconds, as medians: {', '.join(told)}."


_WHOLE: Final = 10
"""From here on the parts of a microsecond say nothing."""


def _microseconds(nanoseconds: float) -> str:
    micro = nanoseconds / 1000
    return f"{micro:,.0f}" if micro >= _WHOLE else f"{micro:.1f}"


def _verdict(gate: Mapping[str, Any]) -> str:
    """Whether the target itself is met, whatever the gate lets pass."""
    if gate["measured"] is None:
        return "not measured"
    return "met" if gate["measured"]["median"] <= gate["target"] else "missed"


def _side(gate: Mapping[str, Any]) -> str:
    measure = gate["measure"]
    return gate["baseline"] if measure == "time" else f"{measure} of {gate['baseline']}"


def _target(gate: Mapping[str, Any]) -> str:
    return _ratio(gate["target"], gate)


def _measured(gate: Mapping[str, Any]) -> str:
    return "-" if gate["measured"] is None else _number(gate["measured"]["median"], gate)


def _ratio(value: float, gate: Mapping[str, Any]) -> str:
    between = " " if gate["baseline"] in UNITS else " of " if "/" in _number(value, gate) else " × "
    return f"{_number(value, gate)}{between}{_side(gate)}"


def _number(value: float, gate: Mapping[str, Any]) -> str:
    """A fraction where the target is one: 1/30 is easier read than 0.033."""
    if 0 < gate["target"] < 1 / 2:
        return f"1/{1 / value:.0f}" if value < 1 / 2 else f"{value:.2f}"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004  # three digits


# ---------------------------------------------------------------------------------------- the page


def page(found: Mapping[str, Any]) -> str:
    """All results, for docs."""
    versions = ", ".join(f"{name} {each}" for name, each in found["versions"].items() if each)
    sections = [
        "# Results of the benchmarks",
        _ORIGIN,
        f"{_where(found)}; {found['rounds']} rounds. {versions}.",
        "Absolute times hold for that machine on that day; ratios in one run are what counts.",
        "## Gates",
        _table(
            ("Part", "What", "Target, at most", "Median", "95 %", "Target"),
            [
                (
                    gate["benchmark"],
                    gate["variant"],
                    _target(gate),
                    _measured(gate),
                    _span(gate["measured"], gate),
                    _verdict(gate),
                )
                for gate in found["gates"]
            ],
        ),
        *_missed(found),
        *_benchmarks(found),
        *_curves(found),
        *_figures(found),
    ]
    return "\n\n".join(sections) + "\n"


def _missed(found: Mapping[str, Any]) -> Iterator[str]:
    missed = [gate for gate in found["gates"] if _verdict(gate) == "missed" and gate["reason"]]
    if missed:
        yield "## Targets that are missed, and why"
        yield _table(
            ("Part", "What", "Target", "Reached", "Why"),
            [
                (
                    gate["benchmark"],
                    gate["variant"],
                    _target(gate),
                    _measured(gate),
                    gate["reason"],
                )
                for gate in missed
            ],
        )


def _span(measured: Mapping[str, float] | None, gate: Mapping[str, Any]) -> str:
    if measured is None:
        return "-"
    return f"{_number(measured['low'], gate)} to {_number(measured['high'], gate)}"


def _benchmarks(found: Mapping[str, Any]) -> Iterator[str]:
    for name, each in found["benchmarks"].items():
        if not each["variants"]:
            continue
        yield f"## {name}: {each['title']}"
        yield _table(
            ("µs a call", "p50", "p90", "p99", "CPU", f"ratio to {each['baseline']}"),
            [
                (
                    variant,
                    *(_micro(taken[part]) for part in ("p50", "p90", "p99", "cpu")),
                    "" if taken["ratio"] is None else f"{taken['ratio']['median']:.3g}",
                )
                for variant, taken in each["variants"].items()
            ],
        )
        remarks = [
            f"- {variant}: {taken['remark']}."
            for variant, taken in each["variants"].items()
            if taken["remark"]
        ]
        remarks += [f"- Not there: {name}, {reason}." for name, reason in each["absent"].items()]
        if remarks:
            yield "\n".join(remarks)


def _curves(found: Mapping[str, Any]) -> Iterator[str]:
    for each in found["curves"]:
        yield f"## By {each['along']}"
        sizes = sorted({int(size) for line in each["lines"].values() for size in line})
        yield _table(
            (f"{each['unit']}, by {each['along']}", *(f"{size:,}" for size in sizes)),
            [
                (
                    name,
                    *(
                        f"{line[str(size)]['median']:.3g}" if str(size) in line else "-"
                        for size in sizes
                    ),
                )
                for name, line in each["lines"].items()
            ],
        )
        yield f"![{each['unit']} by {each['along']}](plots/{each['name']}.svg)"


def _figures(found: Mapping[str, Any]) -> Iterator[str]:
    for name, figures in found["figures"].items():
        yield f"## {name}"
        yield _table(
            ("", "Median", "95 %"),
            [
                (
                    figure,
                    f"{_plain(taken['median'])} {taken['unit']}".rstrip(),
                    ""
                    if taken["low"] == taken["high"]
                    else f"{_plain(taken['low'])} to {_plain(taken['high'])}",
                )
                for figure, taken in figures.items()
            ],
        )


def _micro(nanoseconds: float) -> str:
    return _plain(nanoseconds / 1000)


def _plain(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004  # three digits


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def main() -> int:
    """0; with ``--check`` 1 where a file is not what the results give."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where one differs")
    if parser.parse_args().check:
        wrong = stale()
        sys.stdout.writelines(f"not what the results give: {each}\n" for each in wrong)
        return 1 if wrong else 0
    sys.stdout.writelines(f"written: {each}\n" for each in write_all())
    return 0


if __name__ == "__main__":
    sys.exit(main())
