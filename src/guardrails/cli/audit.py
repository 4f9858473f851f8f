"""``guardrails audit``: the record, verified, followed, and rid of what is old."""

from __future__ import annotations

import typer

from guardrails.cli.audit_storage import prune, tail, verify

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Verify, follow and prune the record."
)

app.command()(verify)
app.command()(tail)
app.command()(prune)
