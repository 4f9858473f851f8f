"""Entries as plain values: as they are written in a file, and as policies read them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.register.entries import AgentEntry


def as_written(entry: AgentEntry) -> dict[str, Any]:
    """The entry as plain values in the order of its fields, without what is empty."""
    written: dict[str, Any] = _plain(entry)
    written["delegates"] = [
        {"to": each.to, "narrow": True} if each.narrow else each.to for each in entry.delegates
    ]
    return {key: value for key, value in written.items() if value not in ({}, [])}


def for_policies(entry: AgentEntry) -> dict[str, Any]:
    """The entry as policies read it, at ``data.guardrails_data.agents[id]``.

    What is not given is left out, never null: in Rego null counts as true.
    """
    given = {
        "version": entry.version,
        "owner": entry.owner,
        "deputy": entry.deputy,
        "environments": sorted(entry.budget),
        "access": [
            {"resource": resource, "operations": list(operations)}
            for resource, operations in entry.access.items()
        ],
        "contacts": list(entry.contacts),
        "delegates": [{"to": each.to, "narrow": each.narrow} for each in entry.delegates],
        "signed_off": _plain(entry.signed_off),
        "review_by": _plain(entry.review_by),
        "approval": _plain(entry.approval),
    }
    return {key: value for key, value in given.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = ((name, getattr(value, name)) for name in type(value).model_fields)
        return {name: _plain(given) for name, given in fields if given is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else value
    if isinstance(value, str | int | None):
        return value
    return _mapping(value)


def _mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain(given) for key, given in value.items()}
