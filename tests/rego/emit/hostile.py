"""Names, texts and numbers that an attacker would choose."""

from __future__ import annotations

from typing import Final

TEXTS: Final = (
    *("__import__('os').system('true')", "'", '"', "'''", '"""', "\\", "\\'", "\n", "\r\n", "\t"),
    *("\u2028", "\u2029", "\x00", "\x1b[31m", "#", "# type: ignore", "-*- coding: utf-7 -*-"),
    *("{0}", "{}", "{x!r}", "%s", "%(x)s", "$x", "f'{1}'", "\\N{DIGIT ONE}", "\\x41", "\\u0041"),
    *("K0", "F0", "E0", "B0", "i0", "m0", "U", "N", "None", "True", "MEMO", "to_key", "lambda"),
    *(
        "a; import os",
        "a\n import os",
        ")\nimport os\n(",
        "K0]",
        "K0)",
        "\ufe4eimport\ufe4e",
        "\uff45\uff56\uff41\uff4c",
        "ﬁ",
    ),
    *("\u202e", "\ufeff", "😀", "__class__", "__builtins__", "guardrails", "x" * 5_000),
)
NUMBERS: Final = (
    *("0", "-1", "1e4000", "-1e-4000", "9" * 3_999, "0." + "9" * 3_900, "1" + "0" * 3_998),
    *("18446744073709551616", "-9223372036854775809", "0.1", "1E5", "1e+5", "-0", "-0.0", "0e0"),
)
