"""What the record says of policies, register and approvers as they come into force.

Each is archived by its digest before it decides, so that what decided can be read later. Where
that fails it does not come into force.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Set as AbstractSet
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.exact_json import exact_json
from guardrails.model.call import Event
from guardrails.model.canonical import canonical
from guardrails.processes import user_name
from guardrails.register.written import as_written
from guardrails.rego.values import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guardrails import ports
    from guardrails.approvals.approvers import Approver, Approvers, Server
    from guardrails.audit.archive import Archive
    from guardrails.engines.in_process import Loaded
    from guardrails.register import Register

POLICIES: Final = "policy.activated"
"""The kind of the event that policies decide from now on."""

REGISTER: Final = "register.loaded"
"""The kind of the event that a register holds from now on."""

APPROVERS: Final = "approvers.loaded"
"""The kind of the event that a file of approvers holds from now on."""


class Activations:
    """Archives and records what comes into force.

    Args:
        record: Where it is recorded.
        archive: Where it is kept; None where processes share no state: digests are recorded alone.
        clock: The time.
    """

    def __init__(self, record: ports.Record, archive: Archive | None, clock: ports.Clock) -> None:
        self._record = record
        self._archive = archive
        self._clock = clock
        self._revision: str | None = None

    def policies(self, loaded: Loaded) -> None:
        """Policies that are about to decide.

        Raises:
            StateUnavailable: they cannot be archived or recorded.
        """
        if loaded.revision == self._revision:
            return
        modules = {name: self._put(text.encode()) for name, text in sorted(loaded.modules.items())}
        kept = {
            "revision": loaded.revision,
            "modules": modules,
            "data": self._put(canonical(to_json(loaded.data))),
        }
        if loaded.plan is not None:
            kept["plan"] = self._put(loaded.plan.encode())
        detail: dict[str, Any] = {
            "modules": len(modules),
            "archive": self._put(canonical(kept)),
            "by": user_name(),
            "pid": os.getpid(),
        }
        if self._revision is not None:
            detail["replaces"] = self._revision
        self._record.write(
            Event(POLICIES, self._clock.now_ns(), revision=loaded.revision, detail=detail)
        )
        self._revision = loaded.revision

    def register(self, path: Path, register: Register) -> None:
        """A register that was loaded.

        Raises:
            StateUnavailable: it cannot be archived or recorded.
        """
        entries = {
            name: _digest(exact_json(as_written(entry)).encode())
            for name, entry in register.entries.items()
        }
        self._write_file(REGISTER, "agents", path, entries)

    def approvers(self, path: Path, approvers: Approvers) -> None:
        """A file of approvers that was loaded.

        Raises:
            StateUnavailable: it cannot be archived or recorded.
        """
        entries = {each.name: _digest(_words(each)) for each in approvers.people.values()}
        entries |= {
            f"server {name}": _digest(_words(each)) for name, each in approvers.servers.items()
        }
        self._write_file(APPROVERS, "approvers", path, entries)

    def _write_file(self, kind: str, name: str, path: Path, entries: Mapping[str, str]) -> None:
        content = path.read_bytes()
        kept = {"file": self._put(content), "entries": dict(entries)}
        detail: dict[str, Any] = {
            "file": str(path),
            "sha256": kept["file"],
            "entries": len(entries),
            "archive": self._put(canonical(kept)),
            "by": user_name(),
            "pid": os.getpid(),
        }
        if self._archive is not None:
            before = self._archive.seen(name, detail["archive"])
            there = None if before is None else self._archive.get_document(before)
            if there is not None and before != detail["archive"]:
                old = there["entries"]
                detail["before"] = there["file"]
                detail["added"] = sorted(entries.keys() - old.keys())
                detail["removed"] = sorted(old.keys() - entries.keys())
                detail["changed"] = sorted(
                    each for each in entries.keys() & old.keys() if entries[each] != old[each]
                )
        self._record.write(Event(kind, self._clock.now_ns(), detail=detail))

    def _put(self, content: bytes) -> str:
        return _digest(content) if self._archive is None else self._archive.put(content)


def _words(entry: Approver | Server) -> bytes:
    """What an entry says, in one order."""
    values = [(each.name, getattr(entry, each.name)) for each in fields(entry)]
    return repr(
        [
            (name, sorted(map(repr, value)) if isinstance(value, AbstractSet) else value)
            for name, value in values
        ]
    ).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


__all__ = ["APPROVERS", "POLICIES", "REGISTER", "Activations"]
