"""Templates as Go's ``text/template`` writes them, from text to nodes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from guardrails.rego.builtins.base import BuiltinError

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS: Final = frozenset({"and", "len", "not", "or"})
"""The functions that are supported."""

_COMPARISONS: Final = frozenset({"eq", "ge", "gt", "le", "lt", "ne"})
_TEXTS: Final = frozenset({"html", "js", "print", "printf", "println", "urlquery"})
_GO_FUNCTIONS: Final = _COMPARISONS | _TEXTS | {"call", "index", "slice"}
_GO_ACTIONS: Final = frozenset({"block", "define", "template"})
_DEEPEST: Final = 50
_SPACE: Final = " \t\r\n"
_INT64: Final = 2**63

_ACTION: Final = re.compile(r"\{\{(-(?=[ \t\r\n]))?")
_COMMENT: Final = re.compile(r"[ \t\r\n]*/\*.*?\*/(?:[ \t\r\n]+(-))?\}\}", re.DOTALL)
_END: Final = r"(?=[ \t\r\n.,|:()]|\}\}|\Z)"
_TOKEN: Final = re.compile(
    rf"""
    (?P<close>(?:[ \t\r\n]-)?\}}\}})
    |(?P<space>[ \t\r\n]+?(?=[ \t\r\n]-\}}\}}|[^ \t\r\n]))
    |(?P<field>\.[A-Za-z_][A-Za-z_0-9]*){_END}
    |(?P<variable>\$[A-Za-z_0-9]*){_END}
    |(?P<number>[+-]?(?:0|[1-9][0-9]*))(?![A-Za-z_0-9.])
    |(?P<word>[A-Za-z_][A-Za-z_0-9]*){_END}
    |(?P<quoted>"(?:[^"\\\n]|\\.)*")
    |(?P<raw>`[^`]*`)
    |(?P<dot>\.(?![0-9]))
    |(?P<mark>:=|[=,|()])
    """,
    re.VERBOSE,
)


class UnsupportedTemplate(NotImplementedError):  # noqa: N818  # it reads as what was found
    """A template that Go understands and this module does not."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: a text, an integer, a boolean."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of a variable, of what a pipeline gives, or, for None, of the dot."""

    base: str | Pipeline | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plain:
    """An operand that stands where a function could; `extra` says that arguments follow it."""

    operand: Operand
    extra: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its operands."""

    name: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each but the first with the value of the one before as its last operand.

    Attributes:
        commands: At least one.
        names: The variables that get the value.
        declares: Whether they are new.
    """

    commands: tuple[Plain | Call, ...]
    names: tuple[str, ...] = ()
    declares: bool = True


@dataclass(frozen=True, slots=True)
class Show:
    """A pipeline whose value is written, unless a variable gets it."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """An ``if``, ``with`` or ``range``."""

    kind: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Jump:
    """A ``break`` or ``continue``."""

    kind: str


Operand: TypeAlias = "Constant | Chain | Pipeline"
Node: TypeAlias = "str | Show | Branch | Jump"
_Token: TypeAlias = tuple[str, str]


def parse(text: str) -> tuple[Node, ...]:
    """The nodes of a template.

    Raises:
        BuiltinError: Go would refuse it, too.
        UnsupportedTemplate: Go would not.
    """
    return _Parser(list(_pieces(text))).whole()


def _pieces(text: str) -> Iterator[str | list[_Token]]:
    """The template's texts, and the tokens of its actions."""
    here = 0
    trims = False
    while True:
        found = _ACTION.search(text, here)
        plain = text[here : found.start()] if found else text[here:]
        if trims:
            plain = plain.lstrip(_SPACE)
        if found is None:
            yield plain
            return
        yield plain.rstrip(_SPACE) if found[1] else plain
        comment = _COMMENT.match(text, found.end()) if _is_comment(text, found) else None
        if comment is not None:
            here, trims = comment.end(), comment[1] is not None
            continue
        if _is_comment(text, found):
            raise BuiltinError("unclosed comment")
        tokens: list[_Token] = []
        here, trims = _read_action(text, found.end(), tokens)
        yield tokens


def _is_comment(text: str, found: re.Match[str]) -> bool:
    start = found.end() + (1 if found[1] else 0)
    return text.startswith("/*", start)


def _read_action(text: str, here: int, tokens: list[_Token]) -> tuple[int, bool]:
    """Put the tokens up to the end of the action into `tokens`: where it ends, if it trims."""
    while True:
        found = _TOKEN.match(text, here)
        if found is None:
            _refuse_token(text[here : here + 20])
        kind = found.lastgroup or ""
        here = found.end()
        if kind == "close":
            return here, found[0] != "}}"
        tokens.append((kind, found[0]))


def _refuse_token(text: str) -> NoReturn:
    if not text.strip(_SPACE) or text[:1] == '"' or text[:1] == "`":
        raise BuiltinError("unclosed action")
    if text[0].isdigit() or text[0] in "+-.'" or text[0].isalpha():
        raise UnsupportedTemplate(f"this part of a template is not supported: {text!r}")
    raise BuiltinError(f"unexpected {text!r} in an action")


class _Parser:
    """Reads nodes from the pieces of a template."""

    def __init__(self, pieces: list[str | list[_Token]]) -> None:
        self.pieces = pieces
        self.place = 0
        self.loops = 0
        self.depth = 0
        self.names = ["$"]

    def whole(self) -> tuple[Node, ...]:
        nodes, end = self.nodes()
        if end is not None:
            raise BuiltinError(f"unexpected {{{{{end.words[0]}}}}}")
        return nodes

    def nodes(self) -> tuple[tuple[Node, ...], _Action | None]:
        """The nodes up to an ``end`` or ``else``, which comes with them, or to the very end."""
        found: list[Node] = []
        while self.place < len(self.pieces):
            piece = self.pieces[self.place]
            self.place += 1
            if isinstance(piece, str):
                if piece:
                    found.append(piece)
                continue
            action = _Action(piece, self)
            keyword = action.keyword()
            if keyword in {"end", "else"}:
                return tuple(found), action
            found.append(self.node(action, keyword))
        return tuple(found), None

    def node(self, action: _Action, keyword: str | None) -> Node:
        if keyword in _GO_ACTIONS:
            raise UnsupportedTemplate(f"the action `{keyword}` of a template is not supported")
        if keyword in {"break", "continue"}:
            if not self.loops:
                raise BuiltinError(f"{{{{{keyword}}}}} outside {{{{range}}}}")
            action.next_word()
            action.finish()
            return Jump(keyword)
        if keyword in {"if", "with", "range"}:
            action.next_word()
            return self.branch(keyword, action)
        made = Show(action.pipeline())
        action.finish()
        return made

    def branch(self, kind: str, action: _Action) -> Branch:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise BuiltinError(f"a template is nested deeper than {_DEEPEST}")
        mark = len(self.names)
        pipeline = action.pipeline(ranges=kind == "range")
        action.finish()
        loops = self.loops
        self.loops += kind == "range"
        body, end = self.nodes()
        self.loops = loops
        otherwise: tuple[Node, ...] = ()
        if end is not None and end.next_word() == "else":
            otherwise = self.otherwise(kind, end)
        elif end is None:
            raise BuiltinError("unexpected EOF")
        else:
            end.finish()
        del self.names[mark:]
        self.depth -= 1
        return Branch(kind, pipeline, body, otherwise)

    def otherwise(self, kind: str, action: _Action) -> tuple[Node, ...]:
        again = action.keyword()
        if again == kind and kind in {"if", "with"}:
            action.next_word()
            return (self.branch(kind, action),)
        action.finish()
        nodes, end = self.nodes()
        if end is None or end.next_word() != "end":
            raise BuiltinError("expected end")
        end.finish()
        return nodes


class _Action:
    """The tokens of one action."""

    def __init__(self, tokens: list[_Token], parser: _Parser) -> None:
        self.tokens = tokens
        self.parser = parser
        self.place = 0
        self.skip()

    @property
    def words(self) -> list[str]:
        return [text for _, text in self.tokens]

    def peek(self, ahead: int = 0) -> _Token:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else ("end", "")

    def take(self) -> _Token:
        token = self.peek()
        self.place += 1
        return token

    def skip(self) -> None:
        while self.peek()[0] == "space":
            self.place += 1

    def keyword(self) -> str | None:
        kind, text = self.peek()
        return text if kind == "word" else None

    def next_word(self) -> str:
        text = self.take()[1]
        self.skip()
        return text

    def finish(self) -> None:
        self.skip()
        kind, text = self.peek()
        if kind != "end":
            raise BuiltinError(f"unexpected {text!r} in an action")

    def pipeline(self, *, ranges: bool = False) -> Pipeline:
        """A pipeline, with the variables that get its value."""
        self.skip()
        names, declares = self.declared(ranges=ranges)
        commands = [self.command()]
        while self.peek() == ("mark", "|"):
            self.take()
            commands.append(self.command())
            later = commands[-1]
            if isinstance(later, Plain) and isinstance(later.operand, Constant):
                raise BuiltinError("non executable command in pipeline")
        return Pipeline(tuple(commands), names, declares)

    def declared(self, *, ranges: bool) -> tuple[tuple[str, ...], bool]:
        start = self.place
        names: list[str] = []
        while self.peek()[0] == "variable":
            names.append(self.next_word())
            mark = self.peek()
            if mark in {("mark", ":="), ("mark", "=")}:
                self.next_word()
                if len(names) > (2 if ranges else 1):
                    raise BuiltinError("too many declarations")
                # Go learns the names here, whether they are new or not: `$x := $x` is refused
                # only where it is run.
                self.parser.names += names
                return tuple(names), mark[1] == ":="
            if mark != ("mark", ",") or not ranges:
                break
            self.next_word()
        self.place = start
        return (), True

    def check(self, name: str) -> None:
        if name not in self.parser.names:
            raise BuiltinError(f"undefined variable {name!r}")

    def command(self) -> Plain | Call:
        self.skip()
        if self.peek()[0] == "word" and self.peek()[1] not in _LITERALS:
            name = self.function(self.take()[1])
            return Call(name, self.operands())
        first, *others = self.operands()
        return Plain(first, bool(others))

    def function(self, name: str) -> str:
        if name in _GO_FUNCTIONS:
            raise UnsupportedTemplate(f"the function `{name}` of a template is not supported")
        if name not in FUNCTIONS:
            raise BuiltinError(f"function {name!r} not defined")
        return name

    def operands(self) -> tuple[Operand, ...]:
        """Operands with space between them; after a function there may be none."""
        found: list[Operand] = []
        after_function = self.place > 0 and self.tokens[self.place - 1][0] == "word"
        while True:
            spaced = self.peek()[0] == "space"
            self.skip()
            kind, text = self.peek()
            if kind == "end" or (kind == "mark" and text in "|)"):
                break
            if (found or after_function) and not spaced:
                raise BuiltinError(f"unexpected {text!r} in operand")
            found.append(self.operand())
        if not found and not after_function:
            raise BuiltinError("missing value for a command")
        return tuple(found)

    def operand(self) -> Operand:
        kind, text = self.take()
        if kind == "mark" and text == "(":
            self.parser.depth += 1
            if self.parser.depth > _DEEPEST:
                raise BuiltinError(f"a template is nested deeper than {_DEEPEST}")
            inner = self.pipeline()
            self.parser.depth -= 1
            if self.take() != ("mark", ")"):
                raise BuiltinError("unclosed left paren")
            fields = self.fields()
            return Chain(inner, fields) if fields else inner
        if kind == "variable":
            self.check(text)
            return Chain(text, self.fields())
        if kind == "field":
            return Chain(None, (text[1:], *self.fields()))
        if kind == "dot":
            if self.peek()[0] == "field":
                raise BuiltinError("unexpected . in operand")
            return Chain(None, ())
        return Constant(self.literal(kind, text))

    def fields(self) -> tuple[str, ...]:
        found = []
        while self.peek()[0] == "field":
            found.append(self.take()[1][1:])
        return tuple(found)

    def literal(self, kind: str, text: str) -> str | int | bool:
        if kind == "raw":
            return text[1:-1].replace("\r", "")
        if kind == "quoted":
            return _unquoted(text)
        if kind == "number":
            number = int(text)
            if not -_INT64 <= number < _INT64:
                raise BuiltinError("integer overflow")
            return number
        if kind == "word" and text in {"true", "false"}:
            return text == "true"
        if kind == "word":
            # `nil`, or a function among operands.
            raise UnsupportedTemplate(f"`{text}` is not supported as an operand in a template")
        raise BuiltinError(f"unexpected {text!r} in operand")


_LITERALS: Final = frozenset({"true", "false", "nil"})


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        raise UnsupportedTemplate(f"the text {text} of a template is not supported") from None
