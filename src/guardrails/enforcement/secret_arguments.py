"""Calls with a secret in their arguments, where configuration refuses them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.errors import CallDenied, Reason

if TYPE_CHECKING:
    from guardrails.enforcement.call import Call

RULE: Final = "guardrails.secrets"
"""The rule id of the refusal."""

_SHOWN: Final = 3


def refuse(call: Call) -> None:
    """Raise if a secret stands in the call's arguments and may not.

    Raises:
        CallDenied: it names the places and the kinds, never the secrets.
    """
    guard = call.run.governor.secrets
    if guard is None:
        return
    name = call.tool.facts.name
    found = guard(name, call.arguments.document)
    if not found:
        return
    places = ", ".join(f"{kind} at {path}" for path, kind in list(found.items())[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    said = f"a secret stands in the arguments: {places}{more}"
    raise CallDenied(
        f"`{name}` was refused: {said}",
        reasons=(Reason(RULE, said),),
        hint="do not pass secrets to tools; name what holds the secret, and let the tool read it",
    )
