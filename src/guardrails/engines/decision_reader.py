"""Reads what policies answer, and what they have answered before at a glance.

Most calls of an agent get one of a few answers: allowed, or denied, for one reason in the same
words. Reading one strictly takes twice as long as evaluating the policy; finding it among
those that were read takes a sixth of that.
"""

from __future__ import annotations

from typing import Any, Final

from guardrails.model.decision import Decision

_MOST: Final = 256
"""Answers that are kept; reasons may repeat arguments, so that there is no end of them."""

_LONGEST: Final = 512
"""Characters of an answer that is kept."""

_FIELDS: Final = 4
"""Of an answer: effect, reasons, approvals, obligations; with `would` it has one more."""

_OF_REASON: Final = 2
"""Fields of a reason: rule, reason."""


class DecisionReader:
    """Reads the answers of one revision of policies. Threads may share it.

    Args:
        revision: The revision.
    """

    __slots__ = ("_known", "revision")

    def __init__(self, revision: str) -> None:
        self.revision = revision
        # Those without approvals and obligations, by effect, rule and text of their one reason.
        self._known: dict[tuple[str, str, str], Decision] = {}

    def read(self, document: dict[str, Any]) -> Decision:
        """The decision that `document`, an object, states; it bears no call's id.

        Raises:
            MalformedDecision: it is no decision.
        """
        try:
            (reason,) = reasons = document["reasons"]
            key = document["effect"], reason["rule"], reason["reason"]
            known = self._known.get(key)
        except (KeyError, TypeError, ValueError):  # with more to it, or no decision
            return Decision.from_document(document, revision=self.revision)
        # What equals a string is one; the rest of what was read before was empty, as it is here.
        if (
            known is not None
            and len(document) == _FIELDS
            and document["approvals"] == []
            and document["obligations"] == []
            and len(reason) == _OF_REASON
            and type(reasons) is list
            and type(reason) is dict
        ):
            return known
        decision = Decision.from_document(document, revision=self.revision)
        if not decision.approvals and not decision.obligations and decision.would is None:
            self._keep(key, decision)
        return decision

    def _keep(self, key: tuple[str, str, str], decision: Decision) -> None:
        if sum(map(len, key)) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = decision
