"""Writes the tables of docs/rego.md from the code: ``python scripts/rego_page.py``.

A table stands between a line ``<!-- generated: NAME -->`` and a line ``<!-- end -->``. A test fails
where the page differs from what this makes of it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.extras import PACKAGES
from guardrails.rego.builtins.unsupported import UNSUPPORTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "rego.md"
_TABLE: Final = re.compile(r"(?<=<!-- generated: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)

_CASTS: Final = frozenset(
    f"cast_{kind}" for kind in ("array", "boolean", "null", "object", "set", "string")
)
_OLD: Final = _CASTS | {"all", "any", "net.cidr_overlap", "re_match", "set_diff"}
"""What OPA itself refuses in Rego v1."""


def unsupported() -> str:
    """The builtins that are refused."""
    rows = [(f"`{name}`", each.why, each.instead) for name, each in sorted(UNSUPPORTED.items())]
    return _table(("Builtin", "Why", "Instead"), rows)


def extras() -> str:
    """The extras, with what needs them."""
    rows = [
        (f"`guardrails-opa[{extra}]`", _names(packages), _names(_needing(extra)))
        for extra, packages in sorted(PACKAGES.items())
    ]
    return _table(("Extra", "Brings", "For"), rows)


def supported() -> str:
    """All the others, by their first word."""
    groups: dict[str, list[str]] = {}
    for name in sorted(BUILTINS.keys() - _OLD):
        if name.startswith("internal."):
            continue
        groups.setdefault(name.partition(".")[0] if "." in name else "", []).append(name)
    rows = [(f"`{group}`" if group else "without", _names(groups[group])) for group in groups]
    return _table(("Category", "Builtins"), rows)


def old() -> str:
    """What only old policies call."""
    return f"{_names(sorted(_OLD & BUILTINS.keys()))}\n"


TABLES: Final[dict[str, Callable[[], str]]] = {
    "unsupported": unsupported,
    "extras": extras,
    "supported": supported,
    "old": old,
}


def filled(page: str) -> str:
    """The page with its tables as the code has them now."""
    return _TABLE.sub(lambda found: f"{found[1]}{found[2]}{TABLES[found[1]]()}", page)


def _needing(extra: str) -> list[str]:
    return sorted(name for name, entry in BUILTINS.items() if entry.extra == extra)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Write the page."""
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
