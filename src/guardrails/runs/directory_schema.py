"""The tables of ``runs.sqlite``: the runs of a machine, who has joined them, what was reset."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = (
    """
    CREATE TABLE runs (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        ancestors TEXT NOT NULL,
        agent TEXT NOT NULL,
        version TEXT NOT NULL,
        environment TEXT NOT NULL,
        owner TEXT NOT NULL,
        mode TEXT NOT NULL,
        principal TEXT,
        revision TEXT NOT NULL,
        pid INTEGER NOT NULL,
        started TEXT NOT NULL,
        boot TEXT NOT NULL,
        namespace TEXT NOT NULL,
        opened INTEGER NOT NULL,
        closed INTEGER,
        ended TEXT
    );
    CREATE INDEX runs_by_id ON runs (id);
    CREATE INDEX runs_by_end ON runs (closed);
    CREATE TABLE tools (name TEXT PRIMARY KEY, seen INTEGER NOT NULL)
    """,
    """
    CREATE TABLE joined (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        pid INTEGER NOT NULL,
        started TEXT NOT NULL,
        boot TEXT NOT NULL,
        namespace TEXT NOT NULL
    );
    CREATE INDEX joined_by_id ON joined (id);
    CREATE TABLE breaker_resets (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        at INTEGER NOT NULL,
        by TEXT NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE INDEX breaker_resets_by_id ON breaker_resets (id)
    """,
)
"""A version each; only ever added to."""
