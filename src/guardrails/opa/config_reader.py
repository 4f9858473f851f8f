"""OPA's configuration file read section by section, every value with its place.

Values of keys, tokens and headers are never repeated in a message.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from guardrails.opa.config_model import Section
from guardrails.opa.environment import substitute
from guardrails.register.source import (
    Problem,
    Source,
    SourceError,
    dotted,
    field_names,
    nearest,
    quoted,
    read_text,
    shown,
)
from guardrails.register.yaml_source import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from guardrails.opa.environment import Substituted
    from guardrails.register.source import KeyPath

S = TypeVar("S", bound=Section)

_SECRET: Final = frozenset({"credentials", "headers", "keys"})
_REPEATED: Final = re.compile(r", not .*| `.*(?=; quote)", re.DOTALL)

ELSEWHERE: Final = "is OPA's own matter; it changes nothing here"
"""What is said of options of OPA's server."""

_UNBUFFERED: Final = "is not used: what is sent is read from the record, and nothing is dropped"

_NOT_SUPPORTED: Final[Mapping[tuple[str, ...], str]] = {
    ("bundle",): "is not supported; write it as an entry of `bundles`",
    ("discovery",): "is not supported: this file is all the configuration there is",
    ("decision_logs", "plugin"): "is not supported: no plugin is loaded",
    ("decision_logs", "drop_decision"): "is not supported: every decision is sent",
    ("decision_logs", "request_context"): "is not supported: no request leads to a decision here",
    ("decision_logs", "nd_builtin_cache"): "is not supported",
    ("decision_logs", "reporting", "buffer_type"): _UNBUFFERED,
    ("decision_logs", "reporting", "buffer_size_limit_bytes"): _UNBUFFERED,
    ("decision_logs", "reporting", "buffer_size_limit_events"): _UNBUFFERED,
    ("decision_logs", "reporting", "max_decisions_per_second"): _UNBUFFERED,
    ("status", "plugin"): "is not supported: no plugin is loaded",
    ("status", "prometheus"): "is not supported; see `telemetry` in `guardrails.yaml`",
    ("status", "prometheus_config"): "is not supported; see `telemetry` in `guardrails.yaml`",
    ("plugins",): "is not supported: no plugin is loaded",
    ("default_decision",): "is not used: what is asked for is `guardrails/decision`",
    ("default_authorization_decision",): ELSEWHERE,
    ("caching",): ELSEWHERE,
    ("nd_builtin_cache",): ELSEWHERE,
    ("distributed_tracing",): ELSEWHERE,
    ("metrics_export",): ELSEWHERE,
    ("server",): ELSEWHERE,
    ("storage",): ELSEWHERE,
    ("services", "*", "credentials", "oauth2"): "is not supported",
    ("services", "*", "credentials", "s3_signing"): "is not supported",
    ("services", "*", "credentials", "gcp_metadata"): "is not supported",
    ("services", "*", "credentials", "azure_managed_identity"): "is not supported",
    ("services", "*", "credentials", "plugin"): "is not supported: no plugin is loaded",
    ("services", "*", "credentials", "client_tls", "cert_reread_interval_seconds"): (
        "is not supported: certificates are read at start"
    ),
}
_ELSEWHERE: Final = ("bundle", "discovery")
"""Keys by which OPA takes policies from where nothing is read here."""

_TOP: Final = (
    "services",
    "labels",
    "bundles",
    "keys",
    "persistence_directory",
    "decision_logs",
    "status",
)
_NAMED: Final = frozenset({"services", "bundles", "keys"})
"""Those that hold sections by their names."""


@dataclass(frozen=True, slots=True)
class Written:
    """A configuration file that was read.

    Attributes:
        source: Its values with their places.
        substituted: Its text, with the variables in it.
    """

    source: Source
    substituted: Substituted

    @classmethod
    def read(cls, path: str | Path, environment: Mapping[str, str] | None = None) -> Written:
        """The file at `path`, YAML or JSON.

        Args:
            path: The file.
            environment: The variables; None for the process's.

        Raises:
            ConfigError: It cannot be read.
            SourceError: It is no YAML, or no mapping.
        """
        found = substitute(read_text(path), os.environ if environment is None else environment)
        try:
            source = parse_yaml(_without_tabs(found.text), str(path))
        except SourceError as error:
            raise SourceError(_told(found, each) for each in error.problems) from None
        written = cls(source, found)
        if source.value is None:
            return cls(Source(source.file, {}), found)
        if not isinstance(source.value, dict):
            raise SourceError([written.problem((), "is no mapping")])
        return written

    def problem(self, path: KeyPath, message: str, *, of_key: bool = False) -> Problem:
        """`message` about the value at `path` (or its key), with its place in the file."""
        return _placed(self.substituted, self.source.problem(path, message, of_key=of_key))

    def section(self, path: KeyPath, model: type[S]) -> S:
        """The section at `path` as a `model`.

        Raises:
            SourceError: It is none; no secret is repeated.
        """
        depth = len(path)
        value: Any = self.source.value
        for part in path:
            value = value[part]
        if not isinstance(value, dict):
            raise SourceError([self.problem(path, f"is no mapping but {shown(value)}")])
        part_of = Source(
            self.source.file,
            value,
            {key[depth:]: each for key, each in self.source.keys.items() if key[:depth] == path},
            {key[depth:]: each for key, each in self.source.values.items() if key[:depth] == path},
        )
        try:
            return part_of.validate(model)
        except SourceError as error:
            raise SourceError(self._within(path, each) for each in error.problems) from None

    def mapping(self, key: str) -> dict[str, Any]:
        """The mapping at the top's `key`; nothing where there is none.

        Raises:
            SourceError: Something else stands there.
        """
        value = self.source.value.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise SourceError([self.problem((key,), f"is no mapping but {shown(value)}")])
        return value

    def findings(self, sections: Mapping[KeyPath, Section]) -> Iterator[Problem]:
        """What is written and means nothing here, and variables that have no value.

        Args:
            sections: The sections that were read, by their paths.
        """
        for name, line in self.substituted.unset:
            message = f"the variable `{name}` is not set; `${{…}}` stays as it is"
            yield Problem(self.source.file, line, 1, "", message)
        for path, known in self._unknown(sections):
            yield self._unused(path, known)

    def misspelt(self, sections: Mapping[KeyPath, Section]) -> Iterator[Problem]:
        """Keys that nobody knows and that are close to a known one: what they say would be lost.

        Args:
            sections: The sections that were read, by their paths.
        """
        for path, known in self._unknown(sections):
            if _pattern(path) not in _NOT_SUPPORTED and nearest(str(path[-1]), list(known)):
                yield self._unused(path, known)

    def elsewhere(self) -> Iterator[Problem]:
        """What says that policies come from where nothing is read here."""
        for key in _ELSEWHERE:
            if self.source.value.get(key) is not None:
                yield self._unused((key,), _TOP)

    def _unknown(
        self, sections: Mapping[KeyPath, Section]
    ) -> Iterator[tuple[KeyPath, Collection[str]]]:
        """Every key that means nothing here, with those that could stand in its place."""
        for key in self.source.value:
            if key not in _TOP and self.source.value[key] is not None:
                yield (key,), _TOP
        for path, section in sections.items():
            yield from self._extras(path, section)

    def _extras(
        self, path: KeyPath, section: BaseModel
    ) -> Iterator[tuple[KeyPath, Collection[str]]]:
        for key, value in (section.model_extra or {}).items():
            if value is not None:
                yield (*path, key), field_names(type(section))
        for name in type(section).model_fields:
            inner = getattr(section, name)
            if isinstance(inner, BaseModel):
                yield from self._extras((*path, name), inner)

    def _unused(self, path: KeyPath, known: Collection[str]) -> Problem:
        said = _NOT_SUPPORTED.get(_pattern(path))
        if said is None:
            near = nearest(str(path[-1]), list(known))
            said = f"is not known{near}; known are {quoted(known)}"
        return self.problem(path, said, of_key=True)

    def _within(self, path: KeyPath, problem: Problem) -> Problem:
        inner = f".{problem.path}" if problem.path else ""
        return _told(self.substituted, problem._replace(path=f"{dotted(path)}{inner}"))


def _pattern(path: KeyPath) -> tuple[str, ...]:
    """`path` with whatever name a section has."""
    return tuple(
        "*" if at == 1 and path[0] in _NAMED else str(part) for at, part in enumerate(path)
    )


def _told(substituted: Substituted, problem: Problem) -> Problem:
    """`problem` at its line of the file, without the value where that may be a secret."""
    if _SECRET & set(re.split(r"[.\[]", problem.path)):
        problem = problem._replace(message=_REPEATED.sub("", problem.message))
    return _placed(substituted, problem)


def _placed(substituted: Substituted, problem: Problem) -> Problem:
    return problem._replace(line=substituted.written_line(problem.line))


def _without_tabs(text: str) -> str:
    """JSON may be indented with tabs; as YAML it may not."""
    if "\t" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return "\n".join(
        line[: len(line) - len(line.lstrip())].replace("\t", " ") + line.lstrip()
        for line in text.split("\n")
    )


__all__ = ["ELSEWHERE", "Written"]
