"""YAML as configuration needs it: a small, unambiguous subset, each value with its place.

Refused, with the mend: anchors and aliases (a few lines of them unfold to gigabytes),
tags, merge keys, duplicate keys, more than one document, invisible characters, and
plain values that YAML readers disagree about (``no``, ``1_000``, ``017``, ``1e3``,
``12:30``). Keys are always text, so ``on:`` is the key ``on``. Numbers are exact:
``int`` or ``Decimal``. Dates stay text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml

from guardrails.register.source import Place, Problem, Source, SourceError, dotted, read_text, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guardrails.register.source import KeyPath

MAX_DEPTH: Final = 32
"""Deepest nesting of mappings and lists."""

# libyaml's parser where PyYAML has it: a register of a thousand agents takes the other one seconds.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML does not allow, the line breaks that editors do not show as such, and the characters
# that reorder or hide text on a reviewer's screen.
_UNSEEN: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,29})")
_FRACTION: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,29})\.[0-9]{1,30}")
_BOOLEANS: Final = {"true": True, "false": False}
_NOTHING: Final = frozenset({"", "~", "null"})
# What YAML 1.1 or 1.2 reads as no text, less what is read above.
_AMBIGUOUS: Final = re.compile(
    r"(?i:y|n|yes|no|on|off|true|false|null)"
    r"|[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-f_]+)|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]+)?"
    r"|[-+]?\.[0-9_]+(?:e[-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?\.(?:inf|nan)",
    re.IGNORECASE,
)


def read_yaml(path: str | Path) -> Source:
    """The values of the YAML file at `path`, each with its place.

    Raises:
        ConfigError: the file cannot be read, is too large or is no UTF-8.
        SourceError: it is not the YAML that is read here.
    """
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, file: str) -> Source:
    """The values of the YAML `text`, each with its place.

    Raises:
        SourceError: it is not the YAML that is read here.
    """
    unseen = _UNSEEN.search(text)
    if unseen:
        line = text.count("\n", 0, unseen.start()) + 1
        col = unseen.start() - text.rfind("\n", 0, unseen.start())
        message = f"the invisible character U+{ord(unseen.group()):04X} is not accepted; remove it"
        raise SourceError([Problem(file, line, col, "", message)])
    builder = _Builder(file, text)
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, col = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = ": ".join(part for part in (error.context, error.problem) if part)
        raise SourceError([Problem(file, line, col, "", f"is no YAML: {said}")]) from None
    except yaml.YAMLError as error:
        raise SourceError([Problem(file, 1, 1, "", f"is no YAML: {error}")]) from None
    return Source(file, value, builder.keys, builder.values)


def plain_value(text: str) -> str | int | Decimal | bool | None:
    """What a plain (unquoted) scalar stands for.

    Raises:
        ValueError: YAML readers disagree about it.
    """
    if text in _NOTHING:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        return Decimal(text)
    if _AMBIGUOUS.fullmatch(text):
        msg = (
            f"YAML readers disagree about {shown(text)}; quote it where it is text, else write"
            " `true`, `false`, or a number in plain digits"
        )
        raise ValueError(msg)
    return text


class _Builder:
    """Builds the values of one text from the parser's events."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}

    def document(self) -> object:
        value: object = None
        seen = False
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    self._refuse(event, (), "holds a second document; leave `---` out")
                seen = True
            elif isinstance(event, yaml.NodeEvent):
                value = self._value(event, ())
        return value

    def _value(self, event: yaml.NodeEvent, path: KeyPath) -> object:
        self.values[path] = _place(event)
        self._check(event, path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if len(path) >= MAX_DEPTH:
            self._refuse(event, path, f"is nested deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> object:
        if event.style:
            return event.value
        try:
            return plain_value(event.value)
        except ValueError as error:
            self._refuse(event, path, str(error))

    def _list(self, path: KeyPath) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        entries: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._check(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, path, "a key is a text, not a list or a mapping")
            key = event.value
            if key == "<<" and not event.style:
                self._refuse(event, path, "merge keys are not read; write the entries out")
            if key in entries:
                first = self.keys[*path, key]
                self._refuse(event, (*path, key), f"is given twice, first in line {first.line}")
            self.keys[*path, key] = _place(event)
            entries[key] = self._value(next(self._events), (*path, key))
        return entries

    def _check(self, event: yaml.NodeEvent, path: KeyPath) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._refuse(event, path, "anchors and aliases are not read; write the value out")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, path, "tags are not read; leave the word with `!` out")

    def _refuse(self, event: yaml.Event, path: KeyPath, message: str) -> NoReturn:
        line, col = _place(event)
        raise SourceError([Problem(self._file, line, col, dotted(path), message)]) from None


def _place(event: yaml.Event) -> Place:
    if event.start_mark is None:  # pragma: no cover  # both parsers mark every event
        return Place(1, 1)
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
