"""The words of random policies: what their terms, data and inputs are made of.

Two kinds of numbers are left out:

- with a fraction of zeros alone after a whole part that ends in zero, as ``10.0``, ``4180.00`` and
  ``0.0``: OPA 1.20 strips the zeros of the whole part, too, before it compares (``10.0 < 9.5`` is
  true);
- whose text is not the one that their value has here, as ``2E2``, ``1e-3`` or ``0.0000001``: OPA
  keeps what was written, and shows it in texts.

And no text is that of a number: below `data`, OPA's evaluator takes ``"0"`` for the index 0 of an
array and 10 for the key ``"10"`` of an object, which its plans do not (opa#3711).
"""

from __future__ import annotations

from typing import Any, Final

NUMBERS: Final = [
    *["0", "1", "2", "3", "5", "-1", "7", "10", "100", "0.1", "0.3", "1.5", "-0.5"],
    *["2.25", "5.0", "1.50", "1e3", "2e2", "0.001", "9007199254740993", "12345678901234567890"],
]
WORDS: Final = [
    *["", "a", "b", "abc", "Users", "users", "a@example.com", "x,y", "é", "日本", "😀"],
    *["\u2028", "İ", "%v", "a/b", "w10", "ok", "refund", "prod", "\n", "a\tb", '"', "`", "<&>"],
]
PATTERNS: Final = ["^[a-z]+$", "a", "^$", "[0-9]+", "@example[.]com$", "(?i)USERS", ".*", "é|b"]
FIELDS: Final = ["amount", "name", "tags", "items", "flags", "nested", "list", "any", "missing"]
FACTS: Final = ["limits", "owners", "table", "names", "deep", "matrix", "on", "blank"]
SCALARS: Final = [
    *["input.amount", "input.name", "input.any", "input.nested.a.b", "input.list[0]"],
    *["input.items[0].id", "limits.a", "limits.refund", "deep.a.b", "table[0].kind", "on"],
]
COLLECTIONS: Final = [
    *["input.tags", "input.items", "input.flags", "input.list", "input.nested"],
    *["limits", "owners", "table", "names", "matrix", "deep.a"],
]

OPERATORS: Final = ["<", "<=", ">", ">=", "==", "!="]
TESTS: Final = ["is_number", "is_string", "is_array", "is_object", "is_boolean", "is_null"]
JUNK: Final[list[Any]] = [None, True, False, 0, -1, "", "x", [], {}, [[]], {"a": {}}]
