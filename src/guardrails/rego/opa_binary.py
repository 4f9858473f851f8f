"""The ``opa`` binary, where there is one: find it, and ask it to plan, check and test.

Modules are given to it as files ``m0.rego``, ``m1.rego`` … in a new directory,
so that no name of a module ever becomes a path; places in its answers are
turned back into the names that the caller knows.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PLAN_LIMIT: Final = 512 << 20
_ENVIRONMENT: Final = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")
_LINE: Final = re.compile(r"(?:^|[\s/])m(?P<number>\d+)\.rego:(?P<row>\d+): (?P<message>.+)")
_CODE: Final = re.compile(r"^rego_\w+_error: ")


@dataclass(frozen=True, slots=True)
class OpaError:
    """One error that OPA found in a source."""

    file: str | None
    row: int | None
    col: int | None
    code: str
    message: str


def find_opa(explicit: str | None = None) -> str | None:
    """The path of an OPA binary, or None.

    Looked for in this order: `explicit`, the environment variable ``OPA``,
    ``.tools/opa`` in the working directory or above it, ``opa`` on ``PATH``.

    Raises:
        PolicyLoadError: `explicit` or ``OPA`` names something that cannot be run.
    """
    for origin, path in (
        ("the setting `opa`", explicit),
        ("the variable `OPA`", os.environ.get("OPA")),
    ):
        if path:
            found = shutil.which(path)
            if found is None:
                msg = f"{origin} names `{path}`, which is no program that can be run"
                raise PolicyLoadError(msg)
            return str(Path(found).absolute())
    here = Path.cwd()
    for directory in (here, *here.parents):
        candidate = directory / ".tools" / "opa"
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    return shutil.which("opa")


@contextmanager
def workspace(modules: Mapping[str, str]) -> Iterator[tuple[Path, list[str]]]:
    """A new directory with the modules as ``m0.rego`` …, and their names by number."""
    with tempfile.TemporaryDirectory(prefix="guardrails-opa-") as name:
        directory = Path(name)
        for number, text in enumerate(modules.values()):
            (directory / f"m{number}.rego").write_text(text, "utf-8", newline="")
        yield directory, list(modules)


def build_plan(
    opa: str, modules: Mapping[str, str], entrypoints: Sequence[str], *, timeout: float
) -> dict[str, Any]:
    """OPA's plan for `modules`, its files named as the caller names them.

    Raises:
        PolicyLoadError: OPA refuses the policy, or fails.
    """
    with workspace(modules) as (directory, names):
        wanted = [part for entrypoint in entrypoints for part in ("-e", entrypoint)]
        archive = directory / "bundle.tar.gz"
        # Without --prune-unused OPA also compiles what depends on an entry point, and refuses a
        # function that does: "used as reference, not called".
        flags = ["build", "-t", "plan", "--prune-unused", *wanted, "-o", str(archive)]
        inputs = [f"m{number}.rego" for number in range(len(names))]
        ran = _run(opa, [*flags, *inputs], directory, timeout)
        if ran.returncode != 0:
            raise _refusal(
                _errors(opa, directory, inputs, names, timeout),
                ran.stderr + ran.stdout,
                names,
                modules,
            )
        try:
            bundle = archive.read_bytes()
        except OSError as error:
            msg = f"`{opa}` says that it planned, but left no plan; is it an OPA binary?"
            raise PolicyLoadError(msg) from error
        document = _plan_in(bundle)
    rename_files(document, names)
    return document


def check(
    opa: str, modules: Mapping[str, str], *, strict: bool = True, timeout: float = 30.0
) -> list[OpaError]:
    """What ``opa check`` finds in `modules`; an empty list is a pass."""
    with workspace(modules) as (directory, names):
        inputs = [f"m{number}.rego" for number in range(len(names))]
        return _errors(opa, directory, inputs, names, timeout, strict=strict)


@dataclass(frozen=True, slots=True)
class OpaTest:
    """One test as ``opa test`` ran it."""

    file: str | None
    row: int | None
    package: str
    name: str
    outcome: str
    seconds: float
    message: str


def run_tests(
    opa: str, modules: Mapping[str, str], data: object, *, timeout: float = 120.0
) -> list[OpaTest]:
    """What ``opa test`` says about every test in `modules`: outcome pass, fail, skip or error.

    Raises:
        PolicyLoadError: OPA refuses the policy, or fails.
    """
    with workspace(modules) as (directory, names):
        inputs = [f"m{number}.rego" for number in range(len(names))]
        (directory / "data.json").write_text(json.dumps(data), "utf-8")
        ran = _run(opa, ["test", "--format=json", *inputs, "data.json"], directory, timeout)
        try:
            rows = json.loads(ran.stdout) if ran.stdout.strip() else None
        except ValueError:
            rows = None
        if not isinstance(rows, list):
            raise _refusal(
                _errors(opa, directory, inputs, names, timeout), ran.stderr, names, modules
            )
    return [_test(row, names) for row in rows if isinstance(row, dict)]


def _test(row: dict[str, Any], names: list[str]) -> OpaTest:
    where = row.get("location") or {}
    outcome = "error" if row.get("error") else "fail" if row.get("fail") else "pass"
    if row.get("skip"):
        outcome = "skip"
    error = row.get("error")
    message = error.get("message", "") if isinstance(error, dict) else str(error or "")
    return OpaTest(
        file=_name(str(where.get("file", "")), names),
        row=where.get("row"),
        package=str(row.get("package", "")).removeprefix("data."),
        name=str(row.get("name", "")),
        outcome=outcome,
        seconds=float(row.get("duration", 0)) / 1e9,
        message=message,
    )


def rename_files(document: dict[str, Any], names: Sequence[str]) -> None:
    """Puts the caller's names into the plan's table of files, in place."""
    static = document.get("static")
    files = static.get("files") if isinstance(static, dict) else None
    for entry in files if isinstance(files, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("value"), str):
            entry["value"] = _name(entry["value"], names) or entry["value"]


def _name(path: str, names: Sequence[str]) -> str | None:
    found = re.search(r"(?:^|/)m(\d+)\.rego$", path)
    if found is None or int(found.group(1)) >= len(names):
        return None
    return names[int(found.group(1))]


def _run(
    opa: str, arguments: list[str], directory: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        return subprocess.run(  # noqa: S603  # the binary that the caller chose, arguments in a list
            [opa, *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"`opa {arguments[0]}` took longer than {timeout:g} s"
        raise PolicyLoadError(msg) from error
    except OSError as error:
        msg = f"`{opa}` cannot be run: {error}"
        raise PolicyLoadError(msg) from error


def _errors(  # noqa: PLR0913  # what one call of the binary needs
    opa: str,
    directory: Path,
    inputs: list[str],
    names: list[str],
    timeout: float,
    *,
    strict: bool = False,
) -> list[OpaError]:
    """The errors of ``opa check``, which, unlike ``opa build``, gives columns."""
    flags = ["--strict"] if strict else []
    ran = _run(opa, ["check", "--format=json", *flags, *inputs], directory, timeout)
    if ran.returncode == 0:
        return []
    try:
        listed = json.loads(ran.stdout or ran.stderr).get("errors")
    except (ValueError, AttributeError):
        listed = None
    found = []
    for item in listed if isinstance(listed, list) else ():
        where = item.get("location") or {}
        found.append(
            OpaError(
                file=_name(str(where.get("file", "")), names),
                row=where.get("row"),
                col=where.get("col") or None,
                code=str(item.get("code", "")),
                message=str(item.get("message", "")),
            )
        )
    return found or [OpaError(None, None, None, "", (ran.stderr or ran.stdout).strip())]


def _refusal(
    errors: list[OpaError], stderr: str, names: list[str], modules: Mapping[str, str]
) -> PolicyLoadError:
    """The first error as a load error with its place and line; the rest counted."""
    if not errors:
        found = _LINE.search(stderr)
        if found is not None:
            name = _name(f"m{found['number']}.rego", names)
            message = _CODE.sub("", found["message"])
            errors = [OpaError(name, int(found["row"]), None, "", message)]
        else:
            return PolicyLoadError(
                f"OPA refuses the policy: {stderr.strip() or 'it gave no reason'}"
            )
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    shown = excerpt(modules.get(first.file or "", ""), first.row, first.col)
    return PolicyLoadError(
        f"{first.message}{more}{shown}", file=first.file, row=first.row, col=first.col
    )


def excerpt(source: str, row: int | None, col: int | None) -> str:
    """The line `row` of `source` with a mark under `col`, as further lines of a message."""
    lines = source.split("\n")
    if row is None or not 1 <= row <= len(lines):
        return ""
    line = lines[row - 1].rstrip("\r").expandtabs(1)
    shown = f"\n  {row} | {line[:200]}"
    if col is not None and 1 <= col <= len(line) + 1 and col <= 200:  # noqa: PLR2004  # as cut above
        shown += "\n  " + " " * len(str(row)) + " | " + " " * (col - 1) + "^"
    return shown


def _plan_in(archive: bytes) -> dict[str, Any]:
    """``plan.json`` of a bundle, read in memory; nothing is unpacked to disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as bundle:
            for member in bundle:
                if member.name.lstrip("/") == "plan.json" and member.isreg():
                    if member.size > _PLAN_LIMIT:
                        break
                    content = bundle.extractfile(member)
                    document = json.loads(content.read()) if content is not None else None
                    if isinstance(document, dict):
                        return document
    except (tarfile.TarError, OSError, ValueError, RecursionError) as error:
        msg = f"the bundle that `opa build` made cannot be read: {error}"
        raise PolicyLoadError(msg) from error
    msg = "the bundle that `opa build` made holds no readable `plan.json`"
    raise PolicyLoadError(msg)


__all__ = [
    "OpaError",
    "OpaTest",
    "build_plan",
    "check",
    "excerpt",
    "find_opa",
    "rename_files",
    "run_tests",
]
