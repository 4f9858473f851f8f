"""The syntax tree of a Rego module, from the planner's own parser.

regopy can dump its trees as nested lists, in which every node carries its byte
offset in the source and every text its length in bytes, so that they are read
back without guessing. :func:`parse_tree` reads one; :class:`Module` is a view
of one source: its tree, its tokens and its comments, with rows and columns.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME: Final = re.compile(rb"[^\s()|:]+")
_SPAN: Final = re.compile(rb"\|(\d+)\|(\d+)")
_TEXT: Final = re.compile(rb"(\d+):")
_SPACE: Final = re.compile(rb"[\s{}]*")


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a tree.

    Attributes:
        kind: Without the prefix ``rego-``, as ``rulehead`` or ``not-expr``.
        text: Its own text; empty for an inner node.
        start: Its first byte in the source; None where the parser made it up.
        size: How many bytes of the source it covers.
        source: The name of its file, where the dump repeats it.
    """

    kind: str
    text: str
    start: int | None
    size: int
    source: str | None
    children: tuple[Node, ...]

    def child(self, kind: str) -> Node | None:
        """The first direct child of this kind."""
        return next((node for node in self.children if node.kind == kind), None)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, in the order of the source; deep trees do not recurse."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def find(self, kind: str) -> Iterator[Node]:
        """Every node of this kind, this one included."""
        return (node for node in self.walk() if node.kind == kind)


@dataclass(slots=True)
class _Open:
    kind: str
    text: str
    start: int | None
    size: int
    source: str | None
    children: list[Node]


def parse_tree(dump: bytes, *, begin: int = 0) -> Node:
    """The tree in a dump of regopy, which starts at the first parenthesis after `begin`.

    Raises:
        ValueError: The dump is not in the form that is known.
    """
    place = dump.find(b"(", begin)
    stack: list[_Open] = []
    while 0 <= place < len(dump):
        if dump[place : place + 1] == b"(":
            opened, place = _open(dump, place + 1)
            stack.append(opened)
        elif dump[place : place + 1] == b")" and stack:
            done = stack.pop()
            node = Node(
                done.kind, done.text, done.start, done.size, done.source, tuple(done.children)
            )
            place += 1
            if not stack:
                return node
            stack[-1].children.append(node)
        else:
            break
        space = _SPACE.match(dump, place)
        place = space.end() if space else place
    msg = f"unreadable syntax tree at byte {place}"
    raise ValueError(msg)


def _open(dump: bytes, place: int) -> tuple[_Open, int]:
    """The head of a node: ``kind [LEN:file] [|start|size] [LEN or size:text]``."""
    name = _NAME.match(dump, place)
    if name is None:
        msg = f"unreadable syntax tree at byte {place}"
        raise ValueError(msg)
    kind = name.group().decode().removeprefix("rego-")
    place = name.end()
    place += dump[place : place + 1] == b" "
    source: str | None = None
    text = ""
    start: int | None = None
    size = 0
    length = _TEXT.match(dump, place)
    if length is not None:
        stop = length.end() + int(length.group(1))
        text, place = dump[length.end() : stop].decode("utf-8", "replace"), stop
    span = _SPAN.match(dump, place)
    if span is not None:
        source, text = text or None, ""
        start, size = int(span.group(1)), int(span.group(2))
        place = span.end()
        if dump[place : place + 1] == b":":
            text = dump[place + 1 : place + 1 + size].decode("utf-8", "replace")
            place += 1 + size
    return _Open(kind, text, start, size, source, []), place


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment: its row, its column, and its text without the ``#``."""

    row: int
    col: int
    text: str


@dataclass(frozen=True)
class Module:
    """One Rego source with its trees.

    Attributes:
        file: Its name, as findings name it.
        source: Its text.
        tree: The tree that the parser ends with.
        tokens: The tokens as the parser first groups them, keywords included.
    """

    file: str
    source: str
    tree: Node
    tokens: Node

    @cached_property
    def _bytes(self) -> bytes:
        return self.source.encode()

    @cached_property
    def _rows(self) -> list[int]:
        return row_starts(self._bytes)

    def place(self, node: Node) -> tuple[int, int]:
        """The row and column, from 1, at which `node` begins; columns count characters."""
        return place_of(self._bytes, self._rows, node.start or 0)

    def text(self, node: Node) -> str:
        """The source that `node` covers."""
        start = node.start or 0
        return self._bytes[start : start + node.size].decode("utf-8", "replace")

    def before(self, node: Node) -> str:
        """The source from the start of the file to where `node` begins."""
        return self._bytes[: node.start or 0].decode("utf-8", "replace")

    @cached_property
    def package(self) -> tuple[str, ...]:
        """The parts of the package's path, as ``("guardrails", "rules", "access")``."""
        package = self.tree.child("module") or self.tree
        package = package.child("package") or package
        reference = package.child("ref")
        return () if reference is None else tuple(path_of(reference) or ())

    @cached_property
    def rules(self) -> tuple[Node, ...]:
        """Every rule of the module, else branches within."""
        module = self.tree.child("module")
        policy = module.child("policy") if module is not None else None
        return () if policy is None else tuple(n for n in policy.children if n.kind == "rule")

    @cached_property
    def names(self) -> set[str]:
        """The names that mean something in the whole module: its rules, and its imports."""
        rules = {path[0] for rule in self.rules if (path := rule_path(rule))}
        imported = {node.children[-1].text for node in self.tree.find("import") if node.children}
        return rules | imported

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """Every import's path as written, as ``future.keywords.not``; aliases are left out."""
        found = []
        for group in self.tokens.find("group"):
            words = group.children
            if words and words[0].kind == "import":
                path = []
                for word in words[1:]:
                    if word.kind == "as":
                        break
                    path.append(self.text(word))
                found.append("".join(path))
        return tuple(found)

    @cached_property
    def aliases(self) -> dict[str, list[str]]:
        """The paths of the imports of data, by the names under which they are known."""
        found = {}
        for node in self.tree.find("import"):
            reference = node.child("ref")
            path = path_of(reference) if reference is not None else None
            alias = node.children[-1]
            if path is not None and path[0] == "data" and alias.kind == "var":
                found[alias.text] = path
        return found

    @cached_property
    def comments(self) -> tuple[Comment, ...]:
        """Every comment, in order; a ``#`` within a string is none."""
        return tuple(_comments(self.source))


def path_of(reference: Node) -> list[str] | None:
    """The parts of a reference whose every step is a constant; None for any other."""
    head = reference.child("refhead")
    steps = reference.child("refargseq")
    if head is None or len(head.children) != 1 or head.children[0].kind != "var":
        return None
    parts = [head.children[0].text]
    for step in steps.children if steps is not None else ():
        inner = next((n for n in step.walk() if n.text), None)
        if step.kind == "refargdot" and inner is not None:
            parts.append(inner.text)
        elif inner is not None and inner.kind in {"STRING", "JSONString"}:
            parts.append(inner.text.strip('"`'))
        else:
            return None
    return parts


def rule_path(rule: Node) -> list[str]:
    """The name of a rule, a reference's parts if it is one: ``["deny"]``, ``["limits", "usd"]``."""
    head = rule.child("rulehead")
    reference = next(head.find("ref"), None) if head is not None else None
    if reference is not None:
        return path_of(reference) or [n.text for n in list(reference.find("var"))[:1]]
    variable = next(head.find("var"), None) if head is not None else None
    return [] if variable is None else [variable.text]


def declared(rule: Node, *, without: Node | None = None) -> set[str]:
    """The names that a rule declares itself: by ``:=``, ``some``, ``every``, or as parameters.

    Args:
        rule: A rule, or a part of one.
        without: A part of it that is passed over.
    """
    found: set[str] = set()
    stack = [rule]
    while stack:
        node = stack.pop()
        if node is without:
            continue
        stack.extend(node.children)
        assigns = node.kind == "exprinfix" and any(node.children[1].find("assign"))
        if assigns or node.kind == "somedecl":
            declaring = node.children[:1]
        elif node.kind in {"varseq", "ruleargs"}:
            declaring = (node,)
        else:
            continue
        found.update(variable.text for part in declaring for variable in part.find("var"))
    return found


def row_starts(source: bytes) -> list[int]:
    """The byte at which each row of `source` begins."""
    return [0, *(found.end() for found in re.finditer(rb"\n", source))]


def place_of(source: bytes, rows: list[int], offset: int) -> tuple[int, int]:
    """Row and column from 1 of a byte `offset`; the column counts characters, not bytes."""
    row = bisect.bisect_right(rows, offset)
    line = source[rows[row - 1] : offset]
    return row, len(line.decode("utf-8", "replace")) + 1


_LEXEME: Final = re.compile(r'"(?:\\.|[^"\\\n])*"?|`[^`]*`?|(?P<comment>#[^\n]*)')


def _comments(source: str) -> Iterator[Comment]:
    """Comments by a scan that knows strings and raw strings."""
    starts = [0, *(found.end() for found in re.finditer("\n", source))]
    for found in _LEXEME.finditer(source):
        if found.lastgroup == "comment":
            row = bisect.bisect_right(starts, found.start())
            yield Comment(row, found.start() - starts[row - 1] + 1, found.group()[1:].rstrip())


__all__ = [
    "Comment",
    "Module",
    "Node",
    "declared",
    "parse_tree",
    "path_of",
    "place_of",
    "row_starts",
    "rule_path",
]
