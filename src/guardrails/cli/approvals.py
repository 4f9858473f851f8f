"""``guardrails approvals``: what waits for people, and their answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from guardrails.approvals.display import plain as harmless
from guardrails.approvals.requests import AnswerRefused, missing
from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.tokens import digest_of, new_token
from guardrails.audit.opening import key_made
from guardrails.cli.approvals_here import OwnDesk, key_file
from guardrails.cli.approvals_remote import SERVER_VARIABLE, RemoteDesk
from guardrails.cli.approvals_shown import (
    called,
    differences,
    document_of,
    ended,
    lines_of,
    time_left,
)
from guardrails.cli.callbacks import findable
from guardrails.cli.console import notices, on_one_line, output, plain, print_json
from guardrails.cli.edited_arguments import from_editor, from_file, from_settings
from guardrails.cli.machine import given
from guardrails.cli.recorded import record_act
from guardrails.config import Config
from guardrails.config.approvers import check_person
from guardrails.errors import ConfigError
from guardrails.model.approval import ApprovalState
from guardrails.processes import user_name

if TYPE_CHECKING:
    from guardrails.model.approval import ApprovalRequest

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="See what waits for people, and answer."
)

_LISTED: Final = 100
"""Requests of a list, if nothing is said: a terminal takes a millisecond for each."""

_Id = Annotated[str, typer.Argument(help="The request's id, or its beginning.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]
_Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar=SERVER_VARIABLE,
        help="Act through this `guardrails serve`, with the token of GUARDRAILS_TOKEN.",
    ),
]
_As = Annotated[
    str | None,
    typer.Option("--as", help="Who you are, where approvers.yaml has several of your user."),
]
_Key = Annotated[
    Path | None,
    typer.Option("--key", help="Your approver key; else ~/.config/guardrails/approver.key."),
]


@app.command("list")
def list_(  # noqa: PLR0913  # its options
    *,
    state: Annotated[
        ApprovalState | None, typer.Option("--state", help="Only those in this state.")
    ] = ApprovalState.PENDING,
    every: Annotated[bool, typer.Option("--all", help="Those in every state.")] = False,
    proposals: Annotated[
        bool, typer.Option("--proposals", help="Calls that were withheld, to be accepted.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many at most; with --json it is all.")
    ] = _LISTED,
    as_json: _Json = False,
    server: _Server = None,
) -> None:
    """List the requests that wait for an answer, the oldest first."""
    wanted = None if every else ApprovalState.PROPOSED if proposals else state
    with _desk(server, tell=False) as desk:
        if as_json:
            print_json([document_of(each) for each in desk.list(wanted)])
            return
        found = desk.listed(wanted)
    if not found:
        output().print(plain("nothing waits" if not every else "there was none yet", "green"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "state", "agent", "approvers", "left", "call"):
        table.add_column(name, overflow="fold", no_wrap=name == "id")
    for each in found[:limit]:
        table.add_row(
            plain(each.id),
            plain(each.state.value),
            plain(harmless(each.agent)),
            plain(", ".join(each.approvers)),
            plain(time_left(each)),
            plain(called(each, longest=60)),
        )
    output().print(table)
    if len(found) > limit:
        notices().print(plain(f"and {len(found) - limit:,} more; --limit {len(found)} lists all"))


@app.command()
def show(request_id: _Id, *, as_json: _Json = False, server: _Server = None) -> None:
    """Show one request whole: the call, why it needs a person, and what was said so far."""
    with _desk(server, tell=False) as desk:
        request = desk.get(request_id)
        similar, left = desk.similar(request), desk.left(request)
        kill = desk.killed(request) if isinstance(desk, OwnDesk) else None
    if as_json:
        last = None if similar is None else similar.id
        print_json({**document_of(request), "left_now": left, "similar": last})
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if kill is not None:
        said = on_one_line(f"{kill.scope} by {kill.by}: {kill.reason}; its call is refused")
        said += ", and stays so" if kill.scope.kind == "run" else " until that is resumed"
        table.add_row(plain("killed", "bold red"), plain(said))
    for name, text in lines_of(request, left):
        table.add_row(plain(name, "bold"), plain(text))
    if similar is not None:
        table.add_row(plain("last similar", "bold"), plain(f"{similar.id}, {ended(similar)}"))
        for text in differences(similar, request):
            table.add_row(plain("  differs"), plain(text))
    output().print(table)


@app.command()
def approve(
    request_id: _Id,
    *,
    reason: _Reason = "",
    as_: _As = None,
    key: _Key = None,
    server: _Server = None,
) -> None:
    """Say yes to exactly this call, once."""
    with _desk(server, as_, key) as desk:
        request = desk.get(request_id)
        if request.about == "escalation":
            msg = f'`{request.id}` asks a question: guardrails approvals answer {request.id} "…"'
            raise AnswerRefused(msg)
        _tell(desk.answer(request, approve=True, reason=reason))


@app.command()
def reject(
    request_id: _Id,
    *,
    reason: _Reason,
    as_: _As = None,
    key: _Key = None,
    server: _Server = None,
) -> None:
    """Say no. An approved request that was not used yet can still be rejected."""
    given(reason)
    with _desk(server, as_, key) as desk:
        _tell(desk.answer(desk.get(request_id), approve=False, reason=reason))


@app.command()
def answer(
    request_id: _Id,
    text: Annotated[str, typer.Argument(help="What the tool gets to know; it is recorded.")],
    *,
    as_: _As = None,
    key: _Key = None,
    server: _Server = None,
) -> None:
    """Answer the question of a tool, which goes on with your words when it is called again."""
    with _desk(server, as_, key) as desk:
        request = desk.get(request_id)
        if request.about != "escalation":
            # Words like "no, too much" must not let a call run.
            msg = f"`{request.id}` asks no question; approve, reject or edit it"
            raise AnswerRefused(msg)
        _tell(desk.answer(request, approve=True, reason=text))


@app.command()
def edit(  # noqa: PLR0913  # an option each
    request_id: _Id,
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE; JSON, or text where the argument is a text."),
    ] = None,
    args: Annotated[
        Path | None, typer.Option("--args", help="A file with all arguments as one JSON object.")
    ] = None,
    approve: Annotated[
        bool, typer.Option(help="Approve the call with the new arguments, too.")
    ] = True,
    reason: _Reason = "",
    as_: _As = None,
    key: _Key = None,
    server: _Server = None,
) -> None:
    """Change the arguments: another call takes the place of this one, and is decided anew.

    Without --set and --args an editor ($VISUAL, $EDITOR) opens with them.
    """
    if settings and args is not None:
        raise ConfigError("--set or --args, not both")
    with _desk(server, as_, key) as desk:
        request = desk.get(request_id)
        if settings:
            new = from_settings(request.args, settings)
        else:
            new = from_file(args) if args is not None else from_editor(request.args)
        version = desk.edit(request, new, reason=reason)
        output().print(plain(f"{request.id}: edited; {version.id} takes its place"))
        for line in differences(request, version):
            output().print(plain(f"  {line}"), soft_wrap=True)
        if approve:
            _approve(desk, version, reason)


@app.command()
def accept(
    request_id: _Id,
    *,
    reason: _Reason = "",
    as_: _As = None,
    key: _Key = None,
    server: _Server = None,
) -> None:
    """Let a withheld call be made: in a run that enforces, decided anew. It approves it, too."""
    with _desk(server, as_, key) as desk:
        request = desk.get(request_id)
        new = desk.accept(request, reason=reason)
        output().print(plain(f"{request.id}: accepted; {new.id} is for its call"))
        _approve(desk, new, reason)


@app.command()
def watch(
    *,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 1.0,
    server: _Server = None,
) -> None:
    """Print each request as it comes, until interrupted."""
    seen: set[str] = set()
    with _desk(server) as desk:
        while True:
            for each in desk.listed(ApprovalState.PENDING):
                if each.id not in seen:
                    seen.add(each.id)
                    text = f"{each.id}  {harmless(each.agent)}  {called(each)}"
                    output().print(plain(text), soft_wrap=True)
            time.sleep(interval)


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(help="Your e-mail address.")],
    *,
    group: Annotated[list[str], typer.Option("--group", help="A group that you answer for.")],
    key: _Key = None,
    reason: _Reason = "",
) -> None:
    """Make your approver key, and print the entry for approvers.yaml.

    The key stays on this machine; the entry is added to approvers.yaml by review.
    """
    check_person(name, group)
    path = key or key_file()
    public = ApproverKey.make(path).public
    notices().print(plain(f"your key is in {path}; add this to approvers.yaml, by review:"))
    groups = ", ".join(group)
    lines = (f"{name}:", f"  groups: [{groups}]", f"  key: {public}", f"  os_user: {user_name()}")
    output().print(plain("\n".join(lines)), soft_wrap=True)
    _record_key("approver", public, reason, name=name, groups=group)


@app.command("enroll-server")
def enroll_server(
    name: Annotated[str, typer.Argument(help="The server's name, as `server.name` has it.")],
    *,
    group: Annotated[
        list[str], typer.Option("--group", help="A group in whose name its word counts.")
    ],
    key: Annotated[Path, typer.Option("--key", help="Where its key is kept; `server.key_file`.")],
    reason: _Reason = "",
) -> None:
    """Make the key of `guardrails serve`, and print its entry for approvers.yaml."""
    public = ApproverKey.make(key).public
    notices().print(plain(f"its key is in {key}; add this to approvers.yaml, by review:"))
    lines = ("servers:", f"  {name}:", f"    groups: [{', '.join(group)}]", f"    key: {public}")
    output().print(plain("\n".join(lines)), soft_wrap=True)
    _record_key("server", public, reason, name=name, groups=group)


@app.command()
def token(*, reason: _Reason = "") -> None:
    """Make a token for `guardrails serve`, printed once; approvers.yaml has its digest."""
    made = new_token()
    notices().print(plain("keep this token; to your entry in approvers.yaml add, by review:"))
    notices().print(plain(f"  tokens: [{digest_of(made)}]"))
    output().print(plain(made), soft_wrap=True)
    _record_key("token", digest_of(made), reason)


def _record_key(what: str, public: str, reason: str, **more: Any) -> None:
    record_act(key_made(what, public=public, reason=reason, **more))


def _desk(
    server: str | None, name: str | None = None, key: Path | None = None, *, tell: bool = True
) -> OwnDesk | RemoteDesk:
    """The requests of this machine, or those of a server."""
    if server is None:
        return OwnDesk(findable(Config.find()), name=name, key=key, tell=tell)
    if name is not None or key is not None:
        raise ConfigError("a server knows you by GUARDRAILS_TOKEN; leave out --as and --key")
    return RemoteDesk(server)


def _approve(desk: OwnDesk | RemoteDesk, request: ApprovalRequest, reason: str) -> None:
    """Approve what came in the place of another request, unless others have done so already."""
    if request.state is ApprovalState.APPROVED:
        output().print(plain(f"{request.id}: it is approved already", "green"))
    else:
        _tell(desk.answer(request, approve=True, reason=reason))


def _tell(after: ApprovalRequest) -> None:
    word = "rejected" if after.state is ApprovalState.REJECTED else "approved"
    lacking = ", ".join(
        f"{missing(after, demand)} of {' or '.join(demand.approvers)}"
        for demand in after.demands
        if after.state is ApprovalState.PENDING and missing(after, demand)
    )
    more = f" and needs {lacking}" if lacking else ""
    text = f"{after.id}: {word} by {after.steps[-1].by}; it is {after.state}{more}"
    output().print(plain(text, "yellow" if word == "rejected" else "green"), soft_wrap=True)
