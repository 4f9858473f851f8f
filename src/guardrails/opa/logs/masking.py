"""What the policy's ``system.log.mask`` takes out of an entry before it is sent, as OPA does it.

A rule is a path, which is removed, or ``{"op": "remove" | "upsert", "path": …, "value": …}``.
Paths are JSON pointers below ``/input`` and ``/result``. What a mask policy says and cannot be
followed is an error: the entry is then sent without its input and result, never as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.errors import PolicyLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROOTS: Final = frozenset({"input", "result"})
_OPERATIONS: Final = frozenset({"remove", "upsert"})


class MaskRule(NamedTuple):
    """One rule.

    Attributes:
        op: ``remove`` or ``upsert``.
        path: The pointer as it was written.
        value: What an upsert puts there.
    """

    op: str
    path: str
    value: Any = None

    @property
    def steps(self) -> list[str]:
        """The parts of the pointer."""
        return self.path[1:].split("/")


def rules_of(result: object) -> tuple[MaskRule, ...]:
    """The rules that a mask policy gave.

    Raises:
        PolicyLoadError: what it gave are no such rules.
    """
    if not isinstance(result, list | tuple | set | frozenset):
        raise _wrong("it gives no set of rules")
    return tuple(_rule(each) for each in result)


def masked(entry: Mapping[str, Any], rules: Iterable[MaskRule]) -> dict[str, Any]:
    """`entry` as the rules leave it; what they did stands under ``erased`` and ``masked``.

    Nothing of `entry` is changed. A path that leads nowhere does nothing.
    """
    made = {name: _copy(value) for name, value in entry.items()}
    erased, replaced = list(made.get("erased", ())), list(made.get("masked", ()))
    for rule in rules:
        if rule.op == "remove":
            if _remove(made, rule.steps):
                erased.append(rule.path)
        elif _upsert(made, rule.steps, rule.value):
            replaced.append(rule.path)
    if erased:
        made["erased"] = erased
    if replaced:
        made["masked"] = replaced
    return made


def withheld(entry: Mapping[str, Any]) -> dict[str, Any]:
    """`entry` without its input and result: where a mask policy fails, or it is too large."""
    gone = [name for name in ("input", "result") if name in entry]
    made = {name: value for name, value in entry.items() if name not in gone}
    return {**made, "erased": [*entry.get("erased", ()), *(f"/{name}" for name in gone)]}


def bare(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What says that there was a decision, and nothing that anybody could have chosen."""
    kept = ("labels", "decision_id", "path", "timestamp")
    gone = [f"/{name}" for name in ("input", "result", "error") if name in entry]
    return {**{name: entry[name] for name in kept if name in entry}, "erased": gone}


def _rule(said: object) -> MaskRule:
    if isinstance(said, str):
        rule = MaskRule("remove", said)
    elif isinstance(said, dict):
        rule = MaskRule(said.get("op", ""), said.get("path", ""), said.get("value"))
    else:
        raise _wrong(f"a rule is a path or an object, not a {type(said).__name__}")
    if rule.op not in _OPERATIONS:
        raise _wrong("a rule's `op` is `remove` or `upsert`")
    if not isinstance(rule.path, str) or rule.path[:1] != "/" or rule.steps[0] not in _ROOTS:
        raise _wrong("a rule's `path` begins with `/input` or `/result`")
    return rule


def _wrong(what: str) -> PolicyLoadError:
    return PolicyLoadError(f"the mask policy cannot be followed: {what}", file="system.log.mask")


def _remove(document: Any, steps: list[str]) -> bool:
    target = document
    for step in steps[:-1]:
        place = _place(target, step)
        if place is None:
            return False
        target = target[place]
    place = _place(target, steps[-1])
    if place is None:
        return False
    del target[place]
    return True


def _upsert(document: Any, steps: list[str], value: Any) -> bool:
    target = document
    for step in steps[:-1]:
        place = _place(target, step)
        if place is None:
            if not isinstance(target, dict) or target is document:
                return False
            target[step] = {}
            place = step
        target = target[place]
    last = steps[-1]
    if isinstance(target, dict):
        target[last] = _copy(value)
        return True
    place = _place(target, last)
    if place is None:
        return False
    target[place] = _copy(value)
    return True


def _place(target: Any, step: str) -> Any:
    if isinstance(target, dict):
        return step if step in target else None
    if isinstance(target, list) and step.isascii() and step.isdecimal() and int(step) < len(target):
        return int(step)
    return None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
