"""Names that say of a value that it is secret, as ``clientSecret`` or ``db_password``."""

from __future__ import annotations

import functools
import re
from typing import Any, Final

NAMED: Final = "named-secret"
"""The kind of a secret that is known by its name."""

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_ONE: Final = frozenset(
    {
        *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets"),
        *("credential", "credentials", "authorization", "bearer", "cvv", "cvc"),
        *("apikey", "accesskey", "privatekey", "secretkey", "authtoken", "accesstoken"),
        *("refreshtoken", "sessiontoken"),
    }
)
_TWO: Final = frozenset(
    {
        *("api key", "access key", "private key", "secret key", "signing key", "encryption key"),
        *("pass word", "pass phrase"),
    }
)
_STILL: Final = frozenset(
    {"new", "old", "current", "confirm", "confirmation", "repeat", "again", "hash", "value", "text"}
)
_TEXT_ONLY: Final = frozenset({"token", "cookie"})


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a value of this name is secret; what words come last in it decides."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    if words[-1] in _ONE or words[-1] in _TEXT_ONLY or " ".join(words[-2:]) in _TWO:
        return True
    return words[-1] in _STILL and any(word in _ONE for word in words[:-1])


def is_hidden_by_name(name: str, value: Any) -> bool:
    """Whether `value` must not be shown because of its name.

    What says nothing (null, a boolean, an empty text) stays; a number called ``token`` counts
    something.
    """
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return False
    if not is_secret_name(name):
        return False
    last = _WORDS.findall(name)[-1].lower()
    return last not in _TEXT_ONLY or isinstance(value, str)
