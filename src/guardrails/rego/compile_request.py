"""What is asked of the compiler's child process, and the digest that stands for the answer."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, final

from guardrails.rego import exact_json
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.schemas import shape_of_schema, with_parts
from guardrails.rego.emit.shapes import ANYTHING, DOCUMENT, Kind
from guardrails.rego.opa_binary import find_opa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.emit.shapes import Shape
    from guardrails.rego.planner import PlannerName
    from guardrails.rego.values import Value


@final
@dataclass(frozen=True, slots=True)
class CompileRequest:
    """A policy to plan and compile, and what for.

    Attributes:
        modules: The Rego sources by file.
        entrypoints: What can be evaluated, as ``guardrails/decision``.
        data: The base documents, as Rego values. What is compiled holds for these alone.
        planner: ``regopy``, or ``opa`` for an OPA binary.
        opa: Where that binary is; None to look for it.
        schema: The JSON schema that every input is promised to fulfil; None for no promise.
        known: The values of some of the input's fields, as Rego values; promised likewise.
        strict: Errors of builtins are errors of the evaluation; else they are undefined.
        checked: Refuse what OPA's compiler refuses (see :mod:`guardrails.rego.analysis`).
        plan: The text of a ``plan.json`` by OPA that takes the place of planning; None to plan.
    """

    modules: Mapping[str, str]
    entrypoints: tuple[str, ...]
    data: Value = field(default_factory=dict)
    planner: PlannerName = "regopy"
    opa: str | None = None
    schema: Mapping[str, Any] | None = None
    known: Mapping[str, Value] | None = None
    strict: bool = True
    checked: bool = True
    plan: str | None = None

    def head(self) -> str:
        """All but the data, as one line of JSON."""
        return json.dumps(
            {
                "modules": list(self.modules.items()),
                "entrypoints": list(self.entrypoints),
                "planner": self.planner,
                "opa": self.opa,
                "schema": None if self.schema is None else json.dumps(self.schema),
                "known": None if self.known is None else exact_json.text(dict(self.known)),
                "strict": self.strict,
                "checked": self.checked,
                "plan": self.plan,
            }
        )

    @classmethod
    def read(cls, head: dict[str, Any], data: Value) -> Self:
        """The request of a :meth:`head` that was read, and its data."""
        return cls(
            dict(head["modules"]),
            tuple(head["entrypoints"]),
            data,
            head["planner"],
            head["opa"],
            None if head["schema"] is None else json.loads(head["schema"]),
            None if head["known"] is None else exact_json.read(head["known"]),
            head["strict"],
            head["checked"],
            head["plan"],
        )

    def shape(self) -> Shape:
        """What is promised of every input."""
        shape = ANYTHING if self.schema is None else shape_of_schema(self.schema)
        if self.known is not None:
            whole = DOCUMENT if self.schema is None else shape
            shape = with_parts(whole.within(Kind.OBJECT), self.known)
        return shape

    def settings(self) -> Settings:
        """What the policy is compiled for."""
        return Settings(strict=self.strict, input=self.shape())

    def digest(self) -> str:
        """What two requests share if, and only if, they have the same answer here, in hex.

        Raises:
            TypeError: The data are no Rego value.
            ValueError: A number has more digits than Python writes.
        """
        found = hashlib.sha256(_here().encode())
        head = self.head()
        found.update(f"{len(head)}\n{head}\n{self._binary()}\n".encode())
        exact_json.write(self.data, found.update)
        return found.hexdigest()

    def _binary(self) -> str:
        """Tells OPA binaries apart, where one plans."""
        if self.planner != "opa" or self.plan is not None:
            return ""
        binary = find_opa(self.opa)
        if binary is None:
            return "none"
        found = Path(binary).stat()
        return f"{os.path.realpath(binary)} {found.st_size} {found.st_mtime_ns}"


_SOURCES: Final = Path(__file__).parent


@functools.cache
def _here() -> str:
    """The digest of all that an answer depends on besides the request."""
    found = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        text = path.read_bytes()
        found.update(f"{path.relative_to(_SOURCES).as_posix()}\n{len(text)}\n".encode())
        found.update(text)
    versions = [f"python {sys.version}", f"{sys.platform}"]
    for name in ("guardrails-opa", "regopy", "google-re2"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} unknown")
    found.update("\n".join(versions).encode())
    return found.hexdigest()
