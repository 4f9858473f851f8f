"""The examinations of ``guardrails doctor``: each looks at one thing and says what to mend.

Nothing is changed by looking: no file is made, no run opened.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardrails.audit.opening import open_record
from guardrails.audit.segments import SegmentRecord
from guardrails.cli.callbacks import findable
from guardrails.cli.candidate_checkup import candidate_findings
from guardrails.cli.engine_checkup import engine_findings
from guardrails.cli.finding import Finding, Status
from guardrails.cli.policy_sources import nearby
from guardrails.cli.server_checkup import answer_findings
from guardrails.cli.state_checkup import state_findings
from guardrails.clock import SystemClock
from guardrails.config import VARIABLE, Config, find_file
from guardrails.errors import ConfigError, PolicyLoadError, StateUnavailable
from guardrails.model.facts import Mode
from guardrails.register import Register
from guardrails.register.review import PRODUCTION, findings
from guardrails.rego.opa_binary import find_opa

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISTRIBUTION: Final = "guardrails-opa"
_IMPORT: Final = "guardrails"
_OLDEST_PYTHON: Final = (3, 11)
_OLDEST_OPA: Final = (1, 17)
"""The first OPA that knows ``import future.keywords.not``."""

_SHOWN: Final = 3
"""Findings of one kind that are spelled out."""


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which one thing rests upon another."""
    yield _python()
    yield from _package()
    yield _extras()
    config, found = _configuration()
    yield from found
    if config is None:
        yield _opa(None)
        return
    yield from _settings(config)
    yield _environment(config)
    register, found = _register(config)
    yield from found
    if register is not None:
        yield from engine_findings(config)
        yield from candidate_findings(config)
    yield _opa(config)
    yield from state_findings(config)
    yield from answer_findings(config)
    yield _modes(config)
    yield _record(config)
    yield from _alerts(config)


def _python() -> Finding:
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("python", Status.FAIL, found, "Python 3.11 or later is needed")
    return Finding("python", Status.OK, found)


def _package() -> Iterator[Finding]:
    place = str(Path(__file__).resolve().parent.parent)
    try:
        version = metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Finding(
            "package",
            Status.WARN,
            f"run from its source in {place}, not installed",
            "install it: pip install 'guardrails-opa[cli]', or `make demo` in a clone",
        )
    else:
        yield Finding("package", Status.OK, f"{_DISTRIBUTION} {version}, {place}")
    others = _namesakes()
    if others:
        yield Finding(
            "name clash",
            Status.FAIL,
            f"{', '.join(others)} provides `{_IMPORT}` too; pip let the last one installed"
            " overwrite the other",
            f"give {_DISTRIBUTION} an environment of its own (python -m venv, pipx, uvx)",
        )


def _namesakes() -> list[str]:
    """The other distributions that bring a package or a script of our name."""
    names = set(metadata.packages_distributions().get(_IMPORT, ()))
    for script in metadata.entry_points(group="console_scripts", name=_IMPORT):
        if script.dist is not None:
            names.add(script.dist.name)
    return sorted(name for name in names if _normal(name) != _DISTRIBUTION)


def _extras() -> Finding:
    try:
        about = metadata.metadata(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return Finding("extras", Status.OK, "not known without an installation")
    needs = metadata.requires(_DISTRIBUTION) or []
    states = []
    for extra in about.get_all("Provides-Extra") or []:
        wanted = [need for need in needs if re.search(rf"extra\s*==\s*['\"]{extra}['\"]", need)]
        absent = [name for name in map(_name_of, wanted) if not _is_installed(name)]
        states.append(f"{extra} ({'needs ' + ', '.join(absent) if absent else 'installed'})")
    return Finding("extras", Status.OK, ", ".join(states) or "none")


def _configuration() -> tuple[Config | None, list[Finding]]:
    try:
        file = find_file()
    except ConfigError as error:
        mend = f"make one with `guardrails init`, or name it by {VARIABLE}"
        if os.environ.get(VARIABLE):
            mend = f"correct or unset {VARIABLE}"
        return None, [Finding("configuration", Status.FAIL, str(error).partition(";")[0], mend)]
    shown = str(nearby(file.absolute()))
    if os.environ.get(VARIABLE):
        shown += f" (named by {VARIABLE})"
    try:
        config = findable(Config.load(file))
    except ConfigError as error:
        return None, list(_each_line("configuration", str(error), f"correct {shown}"))
    return config, [Finding("configuration", Status.OK, shown)]


def _settings(config: Config) -> Iterator[Finding]:
    """What environment variables say."""
    if config.settings:
        told = "; ".join(map(str, config.settings))
        replaces = any(each.replaces is not None for each in config.settings)
        status = Status.WARN if replaces else Status.OK
        mend = "unset it, or take the key out of guardrails.yaml" if replaces else ""
        yield Finding("variables", status, told, mend)
    for warning in config.warnings:
        yield Finding("settings", Status.WARN, warning, "correct it, or take it out")


def _environment(config: Config) -> Finding:
    found = config.environment
    if found in PRODUCTION:
        found += " (production: agents need a deputy, on_call, a sign-off, a review date)"
    return Finding("environment", Status.OK, found)


def _register(config: Config) -> tuple[Register | None, list[Finding]]:
    file = nearby(config.agents)
    try:
        register = Register.load(file)
    except ConfigError as error:
        return None, list(_each_line("register", str(error), "see `guardrails agents check`"))
    there = [name for name, entry in register.entries.items() if config.environment in entry.budget]
    agents = len(register.entries)
    counted = f"{file}: {agents} agent{'s' * (agents != 1)}, "
    if there:
        found = Finding("register", Status.OK, counted + f"{len(there)} with a budget here")
    else:
        found = Finding(
            "register",
            Status.FAIL,
            counted + f"none with a budget in `{config.environment}`: no run can be opened here",
            f"give one `budget: {{{config.environment}: {{usd: 5}}}}`,"
            " or correct `environment` in guardrails.yaml",
        )
    problems = [str(problem) for problem in findings(register, datetime.now(UTC).date())]
    reviews = [
        Finding("review", Status.WARN, problem, "see `guardrails agents check`")
        for problem in problems[:_SHOWN]
    ]
    if len(problems) > _SHOWN:
        more = f"and {len(problems) - _SHOWN} more"
        reviews.append(Finding("review", Status.WARN, more, "see `guardrails agents check`"))
    return register, [found, *reviews]


def _opa(config: Config | None) -> Finding:
    needed = config is not None and config.planner == "opa"
    try:
        binary = find_opa(str(config.opa) if config is not None and config.opa else None)
    except PolicyLoadError as error:
        return Finding("opa", Status.FAIL, error.message, "correct it", out_of_reach=True)
    if binary is None:
        if needed:
            return Finding(
                "opa",
                Status.FAIL,
                "there is no OPA binary, and the planner is `opa`",
                "set `opa` in guardrails.yaml, put it on PATH, or take `planner: regopy`",
                out_of_reach=True,
            )
        return Finding("opa", Status.OK, "no binary; `policy check` and `policy test` do without")
    version = _opa_version(binary)
    bad = Status.FAIL if needed else Status.WARN
    if version is None:
        mend = "is it an OPA binary? try `opa version`"
        return Finding("opa", bad, f"{binary} does not say its version", mend, out_of_reach=needed)
    shown = ".".join(map(str, version))
    if version[:2] < _OLDEST_OPA:
        return Finding(
            "opa",
            bad,
            f"{shown}, {binary}: does not know `import future.keywords.not`",
            "take OPA 1.17 or later",
        )
    return Finding("opa", Status.OK, f"{shown}, {binary}")


def _opa_version(binary: str) -> tuple[int, ...] | None:
    try:
        ran = subprocess.run(  # noqa: S603  # the binary that the configuration names
            [binary, "version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    found = re.search(r"^Version: (\d+)\.(\d+)\.(\d+)", ran.stdout, re.MULTILINE)
    return None if found is None else tuple(int(part) for part in found.groups())


def _modes(config: Config) -> Finding:
    found = ", ".join(config.modes)
    if Mode.OBSERVE not in config.modes:
        return Finding("modes", Status.OK, found)
    return Finding(
        "modes",
        Status.WARN,
        f"{found}: a run in mode `observe` executes calls that policy denies",
        "take `observe` out of `modes` once the agents are to be governed",
    )


def _record(config: Config) -> Finding:
    if config.record is None:
        status = Status.WARN if config.environment in PRODUCTION else Status.OK
        mend = "" if status is Status.OK else "name a directory: `record: .guardrails/record`"
        return Finding("record", status, "in memory: lost when the process ends", mend)
    path = config.record.path
    file = nearby(path)
    try:
        if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
            return _record_to_come(path, file)
        # Opening appends nothing; it makes the checks that the first run would.
        record = open_record(config.record)
        record.close()
        size = _size_of(path)
    except (StateUnavailable, OSError) as error:
        mend = "name another place as `record`, or make it writable; without it no call runs"
        return Finding("record", Status.FAIL, str(error), mend, out_of_reach=True)
    except ConfigError as error:
        return Finding("record", Status.FAIL, str(error), "see docs/audit.md")
    if isinstance(record, SegmentRecord) and not record.is_signed:
        said = f"{file}, {_size(size)}, can be written; not signed"
        return Finding("record", Status.WARN, said, "pip install 'guardrails-opa[audit]'")
    return Finding("record", Status.OK, f"{file}, {_size(size)}, can be written")


def _size_of(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else (path,)
    return sum(each.stat().st_size for each in files)


def _alerts(config: Config) -> Iterator[Finding]:
    """Whether the sinks can be built; `guardrails alerts test` says whether they reach anybody."""
    if not config.alerts:
        return
    clock = SystemClock()
    broken = []
    for sink in config.alerts:
        try:
            sink.route(clock)
        except ConfigError as error:
            broken.append(Finding("alerts", Status.FAIL, str(error), "correct it"))
    if not broken:
        names = ", ".join(sink.name for sink in config.alerts)
        yield Finding("alerts", Status.OK, f"{names}; try them by `guardrails alerts test`")
    yield from broken


def _record_to_come(path: Path, shown: Path) -> Finding:
    parent = next(each for each in path.parents if each.exists())
    effective = os.access in os.supports_effective_ids  # as whom files are opened
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
        return Finding("record", Status.OK, f"{shown}, made by the first run")
    return Finding(
        "record",
        Status.FAIL,
        f"{shown} cannot be made: `{parent}` is no directory that can be written",
        "name another place as `record`, or make it writable; without it no call runs",
        out_of_reach=True,
    )


def _each_line(name: str, text: str, mend: str) -> Iterator[Finding]:
    for line in text.splitlines():
        yield Finding(name, Status.FAIL, line, mend)


def _size(size: int) -> str:
    return f"{size} bytes" if size < 1 << 10 else f"{size / (1 << 10):,.0f} KiB"


def _name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found.group() if found else requirement


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
