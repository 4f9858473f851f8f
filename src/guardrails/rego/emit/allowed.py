"""What a compiled function may consist of: an allow-list over Python's syntax tree.

The emitter writes names that it made itself, calls of a few helpers and a few methods; nothing
else. A text that comes from another process is held against this list before it is run, so that
it can do no more than work with Rego values: there is no import, no string, no attribute but
those below, no name of Python's but those that :mod:`~guardrails.rego.emit.linking` gives it.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final, TypeGuard

from guardrails.rego.emit.runtime import HELPERS

if TYPE_CHECKING:
    from collections.abc import Collection

PYTHON_NAMES: Final = frozenset(
    {
        "bool",
        "dict",
        "enumerate",
        "frozenset",
        "int",
        "len",
        "list",
        "map",
        "set",
        "sorted",
        "str",
        "tuple",
        "type",
    }
)
"""All that compiled functions see of Python's builtins."""

MEMO: Final = "MEMO"
"""The empty memo of an evaluation."""

LOCAL: Final = re.compile(r"[a-z][0-9]{1,9}", re.ASCII)
"""How a local of a function is named."""

GLOBAL: Final = re.compile(r"[A-Z][0-9]{1,9}S?", re.ASCII)
"""How a function, constant or builtin of a program is named."""

METHODS: Final = frozenset(
    {
        "__setitem__",
        "add",
        "append",
        "copy",
        "endswith",
        "get",
        "isascii",
        "items",
        "join",
        "keys",
        "lower",
        "replace",
        "setdefault",
        "split",
        "startswith",
        "upper",
        "values",
    }
)
"""The only attributes: methods of collections and texts, and the keys of a set."""

LARGEST_NUMBER: Final = 1_000_000
"""The largest whole number that may stand in a text: places, lengths, signs of comparisons."""

_NODES: Final = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg),
    *(ast.Return, ast.Assign, ast.For, ast.While, ast.If, ast.Expr),
    *(ast.Pass, ast.Break, ast.Continue),
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.BinOp, ast.Sub),
    *(ast.Add, ast.Mult, ast.FloorDiv),
    *(ast.Compare, ast.Is, ast.IsNot, ast.In, ast.NotIn),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    *(ast.IfExp, ast.NamedExpr, ast.Call, ast.keyword, ast.Attribute, ast.Subscript, ast.Slice),
    *(ast.List, ast.Tuple, ast.Dict, ast.Set),
    *(ast.Name, ast.Load, ast.Store, ast.Constant),
)
NODES: Final = frozenset(_NODES)
"""The only nodes."""


class NotAllowed(ValueError):  # noqa: N818  # named for what the text is
    """A text holds what no compiled function holds."""


def check(name: str, text: str, known: Collection[str]) -> None:
    """Refuse `text` unless it is one function `name` made of what is allowed.

    Args:
        name: The function's name.
        text: Its source.
        known: The functions, constants and builtins of its program.

    Raises:
        NotAllowed: It is something else.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        msg = f"`{name}` cannot be read: {error}"
        raise NotAllowed(msg) from error
    match tree.body:
        case [ast.FunctionDef() as function] if function.name == name and not _decorated(function):
            pass
        case _:
            msg = f"`{name}` is not one plain function"
            raise NotAllowed(msg)
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if node is not function and not _is_allowed(node, known):
            msg = f"`{name}` holds `{ast.dump(node)[:80]}`"
            raise NotAllowed(msg)
        # `type` stands only in front of its one argument: it could make classes.
        waiting.extend(node.args if _is_type_of(node) else ast.iter_child_nodes(node))


def _is_type_of(node: ast.AST) -> TypeGuard[ast.Call]:
    match node:
        case ast.Call(func=ast.Name(id="type"), args=[_], keywords=[]):
            return True
    return False


def _decorated(function: ast.FunctionDef) -> bool:
    args = function.args
    extra = (args.posonlyargs, args.kwonlyargs, args.kw_defaults, args.defaults)
    return bool(function.decorator_list or function.returns or args.vararg or args.kwarg) or any(
        extra
    )


def _is_local(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and LOCAL.fullmatch(node.id) is not None


def _is_allowed(node: ast.AST, known: Collection[str]) -> bool:
    if type(node) not in NODES:
        return False
    match node:
        case ast.FunctionDef():
            return False  # one stands around all, none within
        case ast.BinOp(op=ast.Mult(), left=one, right=other):
            return _is_local(one) and isinstance(other, ast.Name) and other.id[0] == "K"
        case ast.Name(id=name, ctx=ast.Store()):
            return LOCAL.fullmatch(name) is not None
        case ast.Name(id=name):
            return (
                LOCAL.fullmatch(name) is not None
                or name in known
                or name in HELPERS
                or (name in PYTHON_NAMES and name != "type")
                or name == MEMO
            )
        case ast.arg(arg=name, annotation=annotation):
            return annotation is None and LOCAL.fullmatch(name) is not None
        case ast.Attribute(attr=name, ctx=context):
            return name in METHODS and isinstance(context, ast.Load)
        case ast.Constant(value=value):
            return (
                value is None
                or type(value) is bool
                or (type(value) is int and 0 <= value <= LARGEST_NUMBER)
            )
        case ast.keyword(arg=name):
            return name == "key"
        case ast.Subscript(value=value, ctx=ast.Store()):
            return isinstance(value, ast.Name) and LOCAL.fullmatch(value.id) is not None
        case ast.Assign(targets=targets, type_comment=None):
            return len(targets) == 1 and isinstance(targets[0], ast.Name | ast.Subscript)
    return True
