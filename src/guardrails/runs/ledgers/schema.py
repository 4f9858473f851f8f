"""The tables of ``budgets.sqlite``: what the processes of one machine share about budgets."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = (
    """
    CREATE TABLE state (epoch INTEGER NOT NULL);
    INSERT INTO state VALUES (0);
    CREATE TABLE holder (
        id TEXT PRIMARY KEY, pid INTEGER NOT NULL, started TEXT NOT NULL, boot TEXT NOT NULL,
        space TEXT NOT NULL, seen INTEGER NOT NULL
    );
    CREATE TABLE line (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL, period TEXT NOT NULL, start INTEGER NOT NULL, until INTEGER NOT NULL,
        usd_limit INTEGER, tokens_limit INTEGER, calls_limit INTEGER,
        usd_more INTEGER NOT NULL DEFAULT 0, tokens_more INTEGER NOT NULL DEFAULT 0,
        calls_more INTEGER NOT NULL DEFAULT 0,
        usd_spent INTEGER NOT NULL DEFAULT 0, tokens_spent INTEGER NOT NULL DEFAULT 0,
        calls_spent INTEGER NOT NULL DEFAULT 0,
        usd_alerted INTEGER NOT NULL DEFAULT 0, tokens_alerted INTEGER NOT NULL DEFAULT 0,
        calls_alerted INTEGER NOT NULL DEFAULT 0,
        thresholds TEXT NOT NULL,
        revision INTEGER NOT NULL DEFAULT 0, recall INTEGER NOT NULL DEFAULT 0,
        UNIQUE (account, period, start)
    );
    CREATE TABLE lease (
        line INTEGER NOT NULL REFERENCES line (id) ON DELETE CASCADE,
        holder TEXT NOT NULL,
        usd INTEGER NOT NULL, tokens INTEGER NOT NULL, calls INTEGER NOT NULL,
        PRIMARY KEY (line, holder)
    );
    CREATE INDEX lease_of_holder ON lease (holder);
    CREATE TABLE setting (
        account TEXT NOT NULL, period TEXT NOT NULL, dimension TEXT NOT NULL,
        amount INTEGER NOT NULL, PRIMARY KEY (account, period, dimension)
    );
    CREATE TABLE top_up (request TEXT PRIMARY KEY, line INTEGER NOT NULL);
    CREATE TABLE run (
        id TEXT PRIMARY KEY, parent TEXT, holder TEXT NOT NULL, terms TEXT NOT NULL,
        usd_limit INTEGER, tokens_limit INTEGER, calls_limit INTEGER,
        usd INTEGER NOT NULL, tokens INTEGER NOT NULL, calls INTEGER NOT NULL,
        shared INTEGER NOT NULL
    );
    CREATE TABLE history (
        n INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, account TEXT NOT NULL,
        period TEXT NOT NULL, dimension TEXT NOT NULL, old INTEGER, new INTEGER,
        by TEXT NOT NULL, reason TEXT NOT NULL
    )
    """,
    "ALTER TABLE run ADD COLUMN nonce TEXT NOT NULL DEFAULT ''",
    # Of rows from before nobody knows whether somebody chose the id: they are kept.
    """
    ALTER TABLE run ADD COLUMN named INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE run ADD COLUMN crashed INTEGER;
    CREATE TABLE wanted (
        line INTEGER NOT NULL REFERENCES line (id) ON DELETE CASCADE,
        holder TEXT NOT NULL,
        usd INTEGER, tokens INTEGER, calls INTEGER,
        PRIMARY KEY (line, holder)
    );
    CREATE INDEX wanted_of_holder ON wanted (holder)
    """,
)
"""A version each; only ever added to."""
