"""Whose signatures count when a record is verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.audit.keys import PublicKey
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.audit.chain import Closing


class Signatures:
    """The keys that are known.

    Args:
        given: Keys from outside; without any, those count that stand in the record itself, which
            show damage, and nothing about who wrote it.
    """

    def __init__(self, given: Iterable[PublicKey] = ()) -> None:
        self._known = {key.id: key for key in given}
        self.is_pinned = bool(self._known)
        self.seen: dict[str, None] = {}
        self.cannot_check = False

    def learn(self, text: object) -> None:
        """Count a key that stands in the record, where none was given."""
        if self.is_pinned or not isinstance(text, str):
            return
        try:
            key = PublicKey.parse(text)
        except ConfigError:
            self.cannot_check = True
            return
        self._known.setdefault(key.id, key)

    def objection(self, closing: Closing, key: object) -> str | None:
        """What is wrong with the signature of a line that says it is signed by the key `key`."""
        if key is None and closing.signature is None:
            return "is not signed" if self.is_pinned else None
        if not isinstance(key, str) or closing.signature is None:
            return "lacks its signature" if closing.signature is None else "names no key"
        self.seen[key] = None
        known = self._known.get(key)
        if known is None:
            if self.cannot_check:
                return None  # said once, of the record as a whole
            which = "none of those given" if self.is_pinned else "not in the list of streams"
            return f"is signed by the key {key}, which is {which}"
        return None if known.signed(closing.hash, closing.signature) else "has a wrong signature"
