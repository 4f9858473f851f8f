"""What policies say about one input, in as much as a replay compares it: effect and rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.engines.input_shape import fits
from guardrails.errors import EvaluationError
from guardrails.model.decision import Decision, MalformedDecision
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.values import UNDEFINED, to_json
from guardrails.replay.recorded import ERROR, STRICTNESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.engines.in_process import Loaded

_REMEMBERED: Final = 4096
"""Verdicts that are kept to be used again; with more, all are forgotten."""

_REASON: Final = 2
"""Fields of a reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is compared of a decision.

    Attributes:
        effect: The effect; ``error`` where there is no decision, which refuses the call.
        rules: The rules behind it.
    """

    effect: str
    rules: frozenset[str] = frozenset()


def strictest(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict about a call that is decided for several agents: what any forbids is forbidden.

    As :func:`guardrails.enforcement.deciding.combine` has it; and an error of any refuses.
    """
    effect = max((each.effect for each in verdicts), key=STRICTNESS.__getitem__)
    rules = frozenset[str]().union(*(each.rules for each in verdicts if each.effect == effect))
    return Verdict(effect, rules)


class Judge:
    """Gives the verdict of loaded policies about an input, at the time that it names.

    It says what :meth:`InProcessEngine.decide` says, and makes less of it. Not for several
    threads at once.

    Args:
        loaded: The policies.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._result = loaded.result
        # What asks for no time needs no context.
        self._evaluate = None if loaded.decider.is_timed else loaded.decider.evaluate
        # What is decoded from a line is JSON of exact types, so only its shape is in question.
        self._fits = fits(loaded.shape, parsed=True)
        self._known: dict[tuple[str, ...], Verdict] = {}
        self._now: Any = None

    def verdict(self, document: dict[str, Any], *, known: bool = False) -> Verdict:
        """The verdict about `document`; whatever goes wrong in it refuses the call.

        Args:
            document: An input, as it was decoded; not changed.
            known: It is of the shape, in what of it may be read.
        """
        try:
            known = known or self._fits(document)
            if known and self._evaluate is not None:
                result = self._evaluate(document)
            else:
                self._now = document.get("time")
                result = self._result(document, EvaluationContext(self._time), known=known)
            key = _key(result)
            if key is None:
                return _verdict(result)
            found = self._known.get(key)
            if found is None:
                found = _verdict(result)
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key] = found
        except Exception as error:  # noqa: BLE001  # as a phase's: whatever it is, it refuses
            return Verdict(ERROR, frozenset({_code(error)}))
        return found

    def _time(self) -> int:
        if type(self._now) is not int:
            raise EvaluationError("no_time", "the input names no time")
        return self._now


def _code(error: Exception) -> str:
    match error:
        case EvaluationError():
            return error.code
        case MalformedDecision():
            return "malformed_decision"
        case _:
            return type(error).__name__


def _verdict(result: Any) -> Verdict:
    if result is UNDEFINED:
        raise MalformedDecision("the decision is undefined")
    decision = Decision.from_document(to_json(result))
    return Verdict(decision.effect.value, frozenset(decision.rule_ids))


def _key(result: Any) -> tuple[str, ...] | None:
    """What two results have in common that are read alike; None for one that is read by itself.

    A decision of plain reasons is well formed, or is not, whatever its reasons' words are.
    """
    if type(result) is not dict or len(result) != _FIELDS:
        return None
    try:
        effect, reasons = result["effect"], result["reasons"]
        if (
            type(effect) is not str
            or type(reasons) is not list
            or result["approvals"] != []
            or result["obligations"] != []
        ):
            return None
        key = [effect]
        for reason in reasons:
            if type(reason) is not dict or len(reason) != _REASON:
                return None
            rule = reason["rule"]
            if type(rule) is not str or type(reason["reason"]) is not str:
                return None
            key.append(rule)
    except KeyError:
        return None
    return tuple(key)


_FIELDS: Final = 4
"""Fields of a decision."""
