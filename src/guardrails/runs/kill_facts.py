"""How the kill switch of a machine stands, without making or changing anything."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from guardrails.errors import StateUnavailable
from guardrails.runs.kill_page import KillPage
from guardrails.runs.kill_store import PAGE, TABLE, Act, KillStore, in_force


class KillFacts(NamedTuple):
    """What is there.

    Attributes:
        page: The file of the page.
        is_there: Whether there is one.
        made_ns: When it was made, UTC nanoseconds.
        settled: Whether its number is even: no change is under way, or was left half made.
        mapped_by: The processes that map it, as far as this user can see; None where the
            system does not tell.
        killed: What is killed now, the oldest kill first.
    """

    page: Path
    is_there: bool
    made_ns: int = 0
    settled: bool = True
    mapped_by: tuple[int, ...] | None = None
    killed: tuple[Act, ...] = ()


def kill_facts(state: Path) -> KillFacts:
    """The facts about the kill switch in the directory `state`.

    Raises:
        StateUnavailable: page or table are there and cannot be used: every call is refused.
    """
    path = state / PAGE
    try:
        is_there = path.exists() or (state / TABLE).exists()
    except OSError as error:
        raise unreadable(state, error) from error
    if not is_there:
        return KillFacts(path, is_there=False)
    page = KillPage(path)
    settled = not page.number & 1
    mapped_by = _mapped_by(path)
    store = KillStore(state)
    try:
        killed = tuple(in_force(store.acts()).values())
    finally:
        store.database.close()
    return KillFacts(
        path,
        is_there=True,
        made_ns=page.made_ns,
        settled=settled,
        mapped_by=mapped_by,
        killed=killed,
    )


def unreadable(state: Path, error: OSError) -> StateUnavailable:
    """Why nothing can be known of a state directory, and who could."""
    return StateUnavailable(
        f"the state directory `{state}` cannot be looked into: {error.strerror}; act as the user "
        "that the agents run as"
    )


def _mapped_by(path: Path) -> tuple[int, ...] | None:
    proc = Path("/proc")
    if not (proc / "self" / "maps").exists():
        return None
    inode = path.stat().st_ino
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            # proc_pid_maps(5): address, permissions, offset, device, inode, path.
            lines = (entry / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
            if any(line.split(maxsplit=5)[4:5] == [str(inode)] for line in lines if PAGE in line):
                found.append(int(entry.name))
    return tuple(sorted(found))


__all__ = ["KillFacts", "kill_facts", "unreadable"]
