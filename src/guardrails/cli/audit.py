"""``guardrails audit``: the record, shown, exported, verified, followed, sent, pruned."""

from __future__ import annotations

import typer

from guardrails.cli.audit_export import export
from guardrails.cli.audit_ship import ship
from guardrails.cli.audit_show import show
from guardrails.cli.audit_storage import prune, tail, verify

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Show, export, verify, follow, send and prune the record.",
)

app.command()(show)
app.command()(export)
app.command()(verify)
app.command()(tail)
app.command()(ship)
app.command()(prune)
