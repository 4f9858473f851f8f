"""``guardrails approvals``: what waits for people, and their answers."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from guardrails.approvals.changes import ABSENT, changes
from guardrails.approvals.display import plain as harmless
from guardrails.approvals.display import render, value_text
from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.table import Listed
from guardrails.approvals.tokens import digest_of, new_token
from guardrails.approvals.versions import edited_key
from guardrails.audit.opening import key_made, open_record
from guardrails.cli.approvals_remote import SERVER_VARIABLE, RemoteDesk
from guardrails.cli.console import notices, output, plain, print_json
from guardrails.cli.edited_arguments import from_editor, from_file, from_settings
from guardrails.config import Config
from guardrails.desk import Desk
from guardrails.errors import ConfigError
from guardrails.model.approval import Answer, ApprovalState
from guardrails.processes import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.approvals import ApprovalService
    from guardrails.approvals.approvers import Approver
    from guardrails.model.approval import ApprovalRequest

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="See what waits for people, and answer."
)

_CHANNEL = "cli"
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
def list_(
    *,
    state: Annotated[
        ApprovalState | None, typer.Option("--state", help="Only those in this state.")
    ] = ApprovalState.PENDING,
    every: Annotated[bool, typer.Option("--all", help="Those in every state.")] = False,
    proposals: Annotated[
        bool, typer.Option("--proposals", help="Calls that were withheld, to be accepted.")
    ] = False,
    as_json: _Json = False,
    server: _Server = None,
) -> None:
    """List the requests that wait for an answer, the oldest first."""
    wanted = None if every else ApprovalState.PROPOSED if proposals else state
    with _looking(server) as requests:
        if as_json:
            print_json([_document(each) for each in requests.list(wanted)])
            return
        found = (
            tuple(map(Listed.of, requests.list(wanted)))
            if isinstance(requests, RemoteDesk)
            else requests.listed(wanted)
        )
    if not found:
        output().print(plain("nothing waits" if not every else "there was none yet", "green"))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "state", "agent", "approvers", "left", "call"):
        table.add_column(name, overflow="fold", no_wrap=name == "id")
    for each in found:
        table.add_row(
            plain(each.id),
            plain(each.state.value),
            plain(each.agent),
            plain(", ".join(each.approvers)),
            plain(_left(each)),
            plain(render(each.tool, each.args, longest=60)),
        )
    output().print(table)


@app.command()
def show(request_id: _Id, *, as_json: _Json = False, server: _Server = None) -> None:
    """Show one request whole: the call, why it needs a person, and what was said so far."""
    with _looking(server) as requests:
        request = requests.get(request_id)
        similar = None if isinstance(requests, RemoteDesk) else requests.similar(request)
    if as_json:
        print_json(_document(request))
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(request):
        table.add_row(plain(name, "bold"), plain(text))
    if similar is not None:
        table.add_row(plain("last similar", "bold"), plain(f"{similar.id}, {similar.outcome}"))
        for text in _differences(similar, request):
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
    _answer(request_id, approved=True, reason=reason, as_=as_, key=key, server=server)


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
    _answer(request_id, approved=False, reason=reason, as_=as_, key=key, server=server)


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
    _answer(request_id, approved=True, reason=text, as_=as_, key=key, server=server)


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
) -> None:
    """Change the arguments: another call takes the place of this one, and is decided anew.

    Without --set and --args an editor ($VISUAL, $EDITOR) opens with them.
    """
    if settings and args is not None:
        raise ConfigError("--set or --args, not both")
    with Desk(Config.find()) as desk:
        person, mine = _me(desk, as_, key)
        request = desk.service.get(request_id)
        if settings:
            new = from_settings(request.args, settings)
        else:
            new = from_file(args) if args is not None else from_editor(request.args)
        said = Answer(
            person.name,
            person.groups,
            approved=False,
            reason=reason,
            time=0,
            channel=_CHANNEL,
            edit=edited_key(request, new),
        )
        version = desk.edit(
            request.id,
            new,
            by=person.name,
            reason=reason,
            channel=_CHANNEL,
            signature=mine.sign(request.digest, said),
        )
        text = f"{request.id}: edited by {person.name}; {version.id} takes its place"
        output().print(plain(text))
        for line in _differences(request, version):
            output().print(plain(f"  {line}"), soft_wrap=True)
        if approve:
            _tell(_answered(desk, version.id, approved=True, reason=reason, as_=as_, key=key))


@app.command()
def accept(request_id: _Id, *, reason: _Reason = "", as_: _As = None, key: _Key = None) -> None:
    """Let a withheld call be made: in a run that enforces, decided anew. It approves it, too."""
    with Desk(Config.find()) as desk:
        person, mine = _me(desk, as_, key)
        request = desk.service.get(request_id)
        said = Answer(
            person.name, person.groups, approved=True, reason=reason, time=0, channel=_CHANNEL
        )
        new = desk.accept(
            request.id,
            by=person.name,
            reason=reason,
            channel=_CHANNEL,
            signature=mine.sign(request.digest, said),
        )
        text = f"{request.id}: accepted by {person.name}; {new.id} is for its call"
        output().print(plain(text))
        _tell(_answered(desk, new.id, approved=True, reason=reason, as_=as_, key=key))


@app.command()
def watch(
    *,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 1.0,
    server: _Server = None,
) -> None:
    """Print each request as it comes, until interrupted."""
    seen: set[str] = set()
    with _looking(server, tell=True) as requests:
        while True:
            for each in requests.list(ApprovalState.PENDING):
                if each.id not in seen:
                    seen.add(each.id)
                    call = render(each.tool, each.args)
                    output().print(plain(f"{each.id}  {each.agent}  {call}"), soft_wrap=True)
            time.sleep(interval)


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(help="Your e-mail address.")],
    *,
    group: Annotated[list[str], typer.Option("--group", help="A group that you answer for.")],
    key: _Key = None,
) -> None:
    """Make your approver key, and print the entry for approvers.yaml.

    The key stays on this machine; the entry is added to approvers.yaml by review.
    """
    path = key or _key_file()
    public = ApproverKey.make(path).public
    notices().print(plain(f"your key is in {path}; add this to approvers.yaml, by review:"))
    groups = ", ".join(group)
    lines = (f"{name}:", f"  groups: [{groups}]", f"  key: {public}", f"  os_user: {user_name()}")
    output().print(plain("\n".join(lines)), soft_wrap=True)
    _record_key("approver", name, public, group)


@app.command("enroll-server")
def enroll_server(
    name: Annotated[str, typer.Argument(help="The server's name, as `server.name` has it.")],
    *,
    group: Annotated[
        list[str], typer.Option("--group", help="A group in whose name its word counts.")
    ],
    key: Annotated[Path, typer.Option("--key", help="Where its key is kept; `server.key_file`.")],
) -> None:
    """Make the key of `guardrails serve`, and print its entry for approvers.yaml."""
    public = ApproverKey.make(key).public
    notices().print(plain(f"its key is in {key}; add this to approvers.yaml, by review:"))
    lines = ("servers:", f"  {name}:", f"    groups: [{', '.join(group)}]", f"    key: {public}")
    output().print(plain("\n".join(lines)), soft_wrap=True)
    _record_key("server", name, public, group)


@app.command()
def token() -> None:
    """Make a token for `guardrails serve`, printed once; approvers.yaml has its digest."""
    made = new_token()
    notices().print(plain("keep this token; to your entry in approvers.yaml add, by review:"))
    notices().print(plain(f"  tokens: [{digest_of(made)}]"))
    output().print(plain(made), soft_wrap=True)


def _record_key(what: str, name: str, public: str, groups: list[str]) -> None:
    """Record that a key was made; said aloud where there is nothing to record it in."""
    try:
        plan = Config.find().record
    except ConfigError:
        plan = None
    if plan is None:
        notices().print(plain("note: no configuration names a record here; this is not recorded"))
        return
    record = open_record(plan)
    record.write(key_made(what, public=public, name=name, groups=groups))
    record.close()


def _answer(  # noqa: PLR0913  # what the person said, each by its name
    request_id: str,
    *,
    approved: bool,
    reason: str,
    as_: str | None,
    key: Path | None,
    server: str | None,
) -> None:
    if server is not None:
        if as_ is not None or key is not None:
            raise ConfigError("a server knows you by GUARDRAILS_TOKEN; leave out --as and --key")
        with RemoteDesk(server) as remote:
            after = remote.answer(request_id, approve=approved, reason=reason)
    else:
        with Desk(Config.find()) as desk:
            after = _answered(desk, request_id, approved=approved, reason=reason, as_=as_, key=key)
    _tell(after, approved=approved)


def _tell(after: ApprovalRequest, *, approved: bool = True) -> None:
    word = {True: "approved", False: "rejected"}[approved]
    text = f"{after.id}: {word} by {after.steps[-1].by}; it is {after.state}"
    output().print(plain(text, "green" if approved else "yellow"))


@contextmanager
def _looking(server: str | None, *, tell: bool = False) -> Iterator[ApprovalService | RemoteDesk]:
    """The requests to look at: this machine's, or those of a server."""
    if server is not None:
        with RemoteDesk(server) as remote:
            yield remote
    else:
        with Desk(Config.find(), tell=tell) as desk:
            yield desk.service


def _answered(  # noqa: PLR0913  # what the person said, each by its name
    desk: Desk, request_id: str, *, approved: bool, reason: str, as_: str | None, key: Path | None
) -> ApprovalRequest:
    person, mine = _me(desk, as_, key)
    request = desk.service.get(request_id)
    said = Answer(person.name, person.groups, approved, reason, 0, _CHANNEL)
    return desk.answer(
        request.id,
        by=person.name,
        approve=approved,
        reason=reason,
        channel=_CHANNEL,
        digest=request.digest,
        signature=mine.sign(request.digest, said),
    )


def _me(desk: Desk, as_: str | None, key: Path | None) -> tuple[Approver, ApproverKey]:
    """Who answers here, and the key that proves it."""
    if desk.approvers is None:
        raise ConfigError(
            f"`{desk.config.file}` names no `approvers:` file, so nobody can answer here; see "
            "`guardrails approvals enroll`"
        )
    approvers = desk.approvers.current()
    mine = ApproverKey.load(key or _key_file())
    own = [each for each in approvers.people.values() if each.key == mine.public]
    own = [each for each in own if as_ is None or approvers.find(as_) == each]
    if len(own) != 1:
        who = f"`{as_}`" if as_ else "nobody" if not own else "more than one person"
        raise ConfigError(f"approvers.yaml does not have your key for {who}")
    person = own[0]
    if person.os_user not in (None, user_name()):
        raise ConfigError(
            f"`{person.name}` works as `{person.os_user}` here, not as `{user_name()}`"
        )
    return person, mine


def _differences(before: ApprovalRequest, after: ApprovalRequest) -> Iterator[str]:
    """What differs in the arguments of two requests, a line each, safe to show."""
    for place, old, new in changes(dict(before.args), dict(after.args)):
        words = (
            "(nothing)" if value is ABSENT else value_text(value, longest=500)
            for value in (old, new)
        )
        yield f"{harmless(place[1:])}: {' → '.join(words)}"


def _key_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "guardrails" / "approver.key"


def _left(request: ApprovalRequest | Listed) -> str:
    seconds = (request.expires - time.time_ns()) // 1_000_000_000
    if request.state is not ApprovalState.PENDING:
        return "-"
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"


def _lines(request: ApprovalRequest) -> Iterator[tuple[str, str]]:
    yield "request", request.id
    yield "state", request.state.value
    if request.question:
        yield "asks", harmless(request.question)
    yield "tool", harmless(request.tool)
    for name, value in request.args.items():
        yield f"  {harmless(name)}", value_text(value, longest=2_000)
    yield "agent", f"{request.agent}, run {request.run_id}"
    if request.principal is not None:
        yield "on behalf of", harmless(request.principal)
    for demand in request.demands:
        needed = f"{demand.quorum} of {', '.join(demand.approvers)}"
        yield "asked by", f"{demand.rule}: {harmless(demand.reason)} ({needed})"
    if request.lineage:
        labels = ", ".join(request.lineage[-1].labels) or "none"
        yield "run", f"mode {request.lineage[-1].mode}, labels {labels}"
        left = {**request.lineage[-1].left}
        if "usd" in left:
            yield "  left, usd", f"{left['usd'] / 1_000_000:,.6f}"
        if "calls" in left:
            yield "  left, calls", f"{left['calls']:,}"
    if request.origin is not None:
        yield "in place of", request.origin
    if request.successor is not None:
        yield "gave way to", request.successor
    if request.previous is not None:
        ended = request.previous_outcome
        yield "before", f"{request.previous} was approved for the same call; it ended: {ended}"
    yield "left", _left(request)
    yield "digest", request.digest
    for step in request.steps:
        when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(step.time // 1_000_000_000))
        words = " ".join(
            word
            for word in (step.kind, harmless(step.by), step.channel and f"({step.channel})")
            if word
        )
        yield when, words + (f": {harmless(step.reason)}" if step.reason else "")


def _document(request: ApprovalRequest) -> dict[str, Any]:
    return {
        **request.shown(),
        "state": request.state.value,
        "digest": request.digest,
        "outcome": request.outcome,
        "successor": request.successor,
        "steps": [
            {"step": s.kind, "time": s.time, "by": s.by, "reason": s.reason, "channel": s.channel}
            for s in request.steps
        ],
    }
