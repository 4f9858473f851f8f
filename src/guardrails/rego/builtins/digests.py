"""Digests of strings, plain and keyed."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import builtin
from guardrails.rego.builtins.operands import string, utf8

if TYPE_CHECKING:
    from guardrails.rego.builtins.base import Builtin
    from guardrails.rego.values import Value


def _digest(name: str, algorithm: str) -> Builtin:
    def call(text: Value) -> Value:
        data = utf8(string(text, 1))
        return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()

    return builtin(name, arity=1)(call)


def _keyed(name: str, algorithm: str) -> Builtin:
    def call(text: Value, key: Value) -> Value:
        data = utf8(string(text, 1))
        return hmac.new(utf8(string(key, 2)), data, algorithm).hexdigest()

    return builtin(name, arity=2)(call)


md5 = _digest("crypto.md5", "md5")
sha1 = _digest("crypto.sha1", "sha1")
sha256 = _digest("crypto.sha256", "sha256")
hmac_md5 = _keyed("crypto.hmac.md5", "md5")
hmac_sha1 = _keyed("crypto.hmac.sha1", "sha1")
hmac_sha256 = _keyed("crypto.hmac.sha256", "sha256")
hmac_sha512 = _keyed("crypto.hmac.sha512", "sha512")


@builtin("crypto.hmac.equal", arity=2)
def hmac_equal(left: Value, right: Value) -> Value:
    """Whether two digests are the same, compared in constant time."""
    return hmac.compare_digest(utf8(string(left, 1)), utf8(string(right, 2)))
