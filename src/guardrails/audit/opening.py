"""The record that a configuration names, opened."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.heads import anchor_file
from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.keys import RecordKey, can_sign
from guardrails.audit.redaction import Redaction
from guardrails.audit.redaction_key import digest_key
from guardrails.audit.segments import SegmentRecord
from guardrails.model.call import Event
from guardrails.named_functions import function_of
from guardrails.processes import user_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.record_plan import RecordPlan

_log: Final = logging.getLogger("guardrails")


def redaction_of(plan: RecordPlan) -> Redaction:
    """What takes out of a record's events what must not be written; its key is made if need be.

    Raises:
        StateUnavailable: the key cannot be read or made.
    """
    return Redaction(plan.recording, digest_key(plan.digest_key_file))


def open_record(
    plan: RecordPlan, *, redaction: Redaction | None = None, waits: bool = False
) -> JsonLinesRecord | SegmentRecord:
    """The record of `plan`; its key is made where there is none.

    Without the extra ``audit`` it is not signed, which is logged as a warning.

    Args:
        plan: What the configuration says.
        redaction: What :func:`redaction_of` gave; None to ask it.
        waits: Whether ``write_ahead`` gives what to wait for, whatever the configuration says.

    Raises:
        StateUnavailable: it cannot be written.
        ConfigError: its key cannot be used, or there is no such function as its anchor names.
    """
    if redaction is None:
        redaction = redaction_of(plan)
    if plan.is_plain:
        return JsonLinesRecord(plan.path, redaction)
    key = None
    is_new = not plan.key_file.exists()
    # A key that somebody names is wanted: where it cannot be used, that is an error.
    if plan.key is not None or can_sign():
        key = RecordKey.load_or_make(plan.key_file)
    else:
        _log.warning(
            "the record `%s` is chained and not signed: whoever can write there can write all of "
            "it anew; pip install 'guardrails-opa[audit]'",
            plan.path,
        )
    record = SegmentRecord(
        plan.path,
        key=key,
        durability="write_ahead" if waits else plan.durability,
        window=plan.window,
        segment_size=plan.segment_size,
        retention=plan.retention,
        anchor=_anchor_of(plan),
        redaction=redaction,
    )
    if key is not None and is_new:
        record.write(key_made("record", public=str(key.public), reason="there was none"))
    return record


def _anchor_of(plan: RecordPlan) -> Callable[[bytes], None] | None:
    anchors: list[Callable[[bytes], object]] = []
    if plan.anchor is not None:
        anchors.append(anchor_file(plan.anchor))
    if plan.anchor_callback:
        anchors.append(function_of(plan.anchor_callback))

    def anchor(line: bytes) -> None:
        for each in anchors:
            each(line)

    return anchor if anchors else None


def key_made(what: str, *, public: str, reason: str, **more: Any) -> Event:
    """The event that a key was made here and now.

    Args:
        what: Whose: ``record``, ``approver`` or ``server``; or ``token``.
        public: Its public half; of a token the digest.
        reason: Why.
        more: What else is known of it, as ``name``.
    """
    detail = {"what": what, "public": public, "by": user_name(), "reason": reason, **more}
    return Event("key.made", time.time_ns(), detail=detail)
