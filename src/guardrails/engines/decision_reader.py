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


class DecisionReader:
    """Reads the answers of one revision of policies. Threads may share it.

    Args:
        revision: The revision.
    """

    __slots__ = ("_known", "revision")

    def __init__(self, revision: str) -> None:
        self.revision = revision
        # Those without approvals and obligations, by effect, rule and text of their one reason:
        # what was answered, and the decision that it states.
        self._known: dict[tuple[str, str, str], tuple[dict[str, Any], Decision]] = {}

    def read(self, document: dict[str, Any]) -> Decision:
        """The decision that `document`, an object, states; it bears no call's id.

        Args:
            document: Nobody may change it from here on.

        Raises:
            MalformedDecision: it is no decision.
        """
        try:
            (reason,) = document["reasons"]
            key = document["effect"], reason["rule"], reason["reason"]
            known, decision = self._known[key]
        except (KeyError, TypeError, ValueError):  # not known, with more to it, or no decision
            pass
        else:
            # It was read strictly, and is of strings, arrays and objects alone: of all that
            # policies give, only the very same equals it.
            if document == known:
                return decision
        decision = Decision.from_document(document, revision=self.revision)
        if not decision.approvals and not decision.obligations and decision.would is None:
            self._keep(document, decision)
        return decision

    def _keep(self, document: dict[str, Any], decision: Decision) -> None:
        if len(document["reasons"]) != 1:
            return
        (reason,) = document["reasons"]
        key = document["effect"], reason["rule"], reason["reason"]
        if sum(map(len, key)) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = document, decision
