"""One decision as OPA's log has it, from the event of the record that holds it."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.document import ruling_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PATH: Final = "guardrails/decision"
"""The decision that is asked for, without ``data``."""

KINDS: Final = frozenset({"call.started", "call.refused", "call.shadowed"})
"""The events of which each call has one: those that say whether it ran."""

_NS: Final = 1_000_000_000


def entry_of(
    event: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    bundles: Sequence[str] = (),
    path: str = PATH,
) -> dict[str, Any] | None:
    """The entry of OPA's log for `event`, or None where no decision stands in it.

    Its result is what policy itself said, as a log of OPA's would have it, before decorators and
    breakers made it stricter.

    Args:
        event: A line of the record.
        labels: Who decided: ``id``, ``version`` and those of the configuration.
        bundles: The names of the bundles that policies come from.
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
    revision = event.get("revision") or ""
    found = revisions_of(revision, bundles)
    if found:
        entry["bundles"] = {name: {"revision": each} for name, each in found.items()}
    elif revision:
        entry["revision"] = revision
    for name in ("trace_id", "span_id"):
        if name in detail:
            entry[name] = detail[name]
    if event.get("input") is not None:
        entry["input"] = event["input"]
    for name in ("erased", "masked"):
        if pointers := _pointers(event.get(name, ()), said="policy" if "policy" in event else ""):
            entry[name] = pointers
    if decided is None:
        entry["error"] = {"code": detail["code"], "message": detail.get("message", "")}
    else:
        entry["result"] = {
            **(ruling_of(dict(event)) or {}),
            "obligations": event.get("obligations", []),
        }
    if event.get("decision_ns") is not None:
        entry["metrics"] = {"timer_rego_query_eval_ns": event["decision_ns"]}
    return entry


def revisions_of(revision: str, bundles: Sequence[str]) -> dict[str, str]:
    """What the manifests of these bundles said, out of the revision of a decision."""
    told, _, digest = revision.rpartition(" sha256:")
    if not digest or not told or not bundles:
        return {}
    names = "|".join(map(re.escape, sorted(bundles, key=len, reverse=True)))
    _, *parts = re.split(rf"(?:^|,)({names})=", told)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _pointers(into_line: Iterable[str], *, said: str) -> list[str]:
    """Those of a line's pointers that lead into the entry, where they do in the entry."""
    found = []
    for each in into_line:
        _, root, *rest = each.split("/")
        if root == "input":
            found.append(each)
        elif said and root == said:
            found.append("/".join(("", "result", *rest)))
        elif not said and root in {"reasons", "approvals"}:
            found.append("/".join(("", "result", root, *rest)))
    return found


def timestamp(time: int | str) -> str:
    """A time as OPA writes it, in RFC 3339 with nanoseconds and without zeros at the end."""
    if isinstance(time, str):
        return time
    seconds, rest = divmod(time, _NS)
    at = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest:09d}".rstrip("0")
    return f"{at}.{fraction}Z" if fraction else f"{at}Z"
