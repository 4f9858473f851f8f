"""The file of results: figures with the machine, the Python and the versions that gave them."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.peers.elsewhere import peers_python
from benchmarks.peers.opa_server import opa_binary
from benchmarks.peers.rust_rego import DISTRIBUTION
from benchmarks.variant import NotThereError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.gates import Outcome
    from benchmarks.parts import Curve, Result
    from benchmarks.run import Report
    from benchmarks.statistics import Interval

PLACE: Final = Path(__file__).with_name("results.json")
"""Where a full run writes them."""

_PACKAGES: Final = (
    "guardrails-opa",
    DISTRIBUTION,
    "cedarpy",
    "regopy",
    "google-re2",
    "httptools",
    "opa-python-client",
    "opentelemetry-sdk",
)
AGT: Final = "agent-governance-toolkit-core"
"""The peer in an environment of its own."""


def document(found: Mapping[str, Result], rounds: int) -> dict[str, Any]:
    """All results as JSON: times in nanoseconds a call unless a unit says otherwise."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in _PACKAGES}
        | {"opa": _opa_version(), AGT: _peers_version(AGT)},
        "rounds": rounds,
        "benchmarks": {
            name: _report(each.report) for name, each in found.items() if each.report is not None
        },
        "figures": {
            name: {
                figure: {**_interval(interval), "unit": unit}
                for figure, (interval, unit) in each.figures.items()
            }
            for name, each in found.items()
            if each.figures
        },
        "curves": [_curve(curve) for each in found.values() for curve in each.curves],
        "gates": [_outcome(outcome) for each in found.values() for outcome in each.outcomes],
    }


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "name": curve.name,
        "along": curve.along,
        "unit": curve.unit,
        "lines": {
            line: {str(size): _interval(found) for size, found in points.items()}
            for line, points in curve.lines.items()
        },
    }


def write(results: dict[str, Any], place: Path) -> None:
    """Put the results at `place`."""
    text = json.dumps(results, indent=2, ensure_ascii=False)
    place.write_text(text + "\n", encoding="utf-8")


def _report(report: Report) -> dict[str, Any]:
    samples = report.measurement.samples
    baseline = report.baseline
    variants = {
        name: {
            "p50": round(taken.percentile(0.5), 1),
            "p90": round(taken.percentile(0.9), 1),
            "p99": round(taken.percentile(0.99), 1),
            "cpu": round(taken.cpu_median, 1),
            "ratio": _interval(report.measurement.ratio(name, baseline)) if baseline else None,
            "remark": report.remarks.get(name, ""),
        }
        for name, taken in samples.items()
    }
    return {
        "title": report.benchmark.title,
        "baseline": baseline,
        "variants": variants,
        "absent": dict(report.absent),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "benchmark": outcome.benchmark,
        "variant": outcome.gate.variant,
        "baseline": outcome.gate.baseline,
        "target": outcome.gate.target,
        "reached": outcome.gate.reached,
        "reason": outcome.gate.reason,
        "measure": outcome.gate.measure.value,
        "status": outcome.status.value,
        "measured": None if outcome.measured is None else _interval(outcome.measured),
        "remark": outcome.remark,
    }


def _interval(interval: Interval) -> dict[str, float]:
    return {
        "median": float(f"{interval.median:.5g}"),
        "low": float(f"{interval.low:.5g}"),
        "high": float(f"{interval.high:.5g}"),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _peers_version(name: str) -> str | None:
    try:
        python = peers_python()
    except NotThereError:
        return None
    code = f"from importlib.metadata import version; print(version({name!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603  # the peers' interpreter
    return done.stdout.strip() or None


def _opa_version() -> str | None:
    try:
        binary = opa_binary()
    except NotThereError:
        return None
    done = subprocess.run([binary, "version"], capture_output=True, text=True, check=False)  # noqa: S603  # the binary that is measured
    first = done.stdout.partition("\n")[0]
    return first.removeprefix("Version: ") or None


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"
    for line in text.splitlines():
        name, found, value = line.partition(":")
        if found and name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"
