"""One decision as OPA's log has it, from the event of the record that holds it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH: Final = "guardrails/decision"
"""The decision that is asked for, without ``data``."""

KINDS: Final = frozenset({"call.started", "call.refused", "call.shadowed"})
"""The events of which each call has one: those that say whether it ran."""

_RESULT: Final = ("effect", "reasons", "approvals", "obligations")
_NS: Final = 1_000_000_000


def entry_of(
    event: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    bundles: Mapping[str, str] | None = None,
    path: str = PATH,
) -> dict[str, Any] | None:
    """The entry of OPA's log for `event`, or None where no decision stands in it.

    Args:
        event: A line of the record.
        labels: Who decided: ``id``, ``version`` and those of the configuration.
        bundles: The revision of each bundle, by its name; None where there are none.
        path: What was asked for.
    """
    decided = event.get("effect")
    detail = event.get("detail") or {}
    failed = detail.get("code") in {"policy_error", "policy_unavailable"}
    if event.get("kind") not in KINDS or (decided is None and not failed):
        return None
    entry: dict[str, Any] = {
        "labels": dict(labels),
        "decision_id": event["decision_id"],
        "path": path,
        "timestamp": timestamp(event["time"]),
    }
    if bundles:
        entry["bundles"] = {name: {"revision": revision} for name, revision in bundles.items()}
    elif event.get("revision"):
        entry["revision"] = event["revision"]
    for name in ("trace_id", "span_id"):
        if name in detail:
            entry[name] = detail[name]
    if event.get("input") is not None:
        entry["input"] = event["input"]
    for name in ("erased", "masked"):
        if event.get(name):
            entry[name] = list(event[name])
    if decided is None:
        entry["error"] = {"code": detail["code"], "message": detail.get("message", "")}
    else:
        said = event.get("policy") or event
        entry["result"] = {name: said.get(name, []) for name in _RESULT}
    if event.get("decision_ns") is not None:
        entry["metrics"] = {"timer_rego_query_eval_ns": event["decision_ns"]}
    return entry


def timestamp(time: int | str) -> str:
    """A time as OPA writes it, in RFC 3339 with nanoseconds and without zeros at the end."""
    if isinstance(time, str):
        return time
    seconds, rest = divmod(time, _NS)
    at = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest:09d}".rstrip("0")
    return f"{at}.{fraction}Z" if fraction else f"{at}Z"
