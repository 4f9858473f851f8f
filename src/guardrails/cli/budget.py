"""``guardrails budget``: what runs may spend together, what they have spent, and who changed it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from guardrails.audit.opening import open_record
from guardrails.cli.callbacks import findable
from guardrails.cli.console import notices, output, plain, print_json
from guardrails.config import Config
from guardrails.errors import ConfigError
from guardrails.model.account import Window
from guardrails.model.call import Event
from guardrails.model.money import micro_usd
from guardrails.processes import user_name
from guardrails.runs.ledgers.amounts import DIMENSIONS, USD, in_units, number, words
from guardrails.runs.ledgers.overview import Change, Overview, Stand
from guardrails.runs.ledgers.sqlite import FILE_NAME
from guardrails.runs.windows import Calendar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Show and set what runs may spend together.",
)

_KINDS: Final = ("agent", "env", "account", "run")
_DEFAULT: Final = "default"
_WINDOWS: Final = (*(window.value for window in Window), "run")

_Target = Annotated[
    str,
    typer.Argument(help="agent/ID, env/NAME, account/NAME, run/ID (or how it begins), or all."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_Limit = Annotated[
    list[str] | None,
    typer.Option(help="DIMENSION=LIMIT, as usd=20, tokens=1000 or calls=50; usd=default undoes."),
]


@app.command()
def show(target: _Target = "all", *, as_json: _Json = False) -> None:
    """Show limits, and what is spent, taken by processes, and left, in the windows of now.

    What a process has taken it may spend or give back; running processes report what they have
    spent every second.
    """
    with _opened() as (_, overview, calendar):
        stands = overview.stands(time.time_ns())
        stands = [each for each in stands if _is_meant(each.account, target)]
    if target != "all" and not stands:
        raise ConfigError(f"there is no account `{target}` here; `guardrails budget show` has all")
    if as_json:
        print_json({"accounts": [_document(each, calendar) for each in stands]})
        return
    table = _table(["account", "window", "limit", "spent", "taken", "left"])
    for each in stands:
        for index, limit in enumerate(each.limits):
            if limit is not None:
                taken = each.taken[index] + each.crashed[index]
                table.add_row(
                    plain(each.account + ("" if each.crashed_at is None else " (crashed)")),
                    plain(_window(each, calendar)),
                    plain(words(index, limit) + (" (set)" if _is_set(each, index) else "")),
                    plain(number(index, each.spent[index])),
                    plain(number(index, taken)),
                    plain(number(index, each.left[index] or 0)),
                )
    output().print(table)
    differing = sorted({each.account for each in stands if each.differs})
    if differing:
        output().print(
            plain(
                "processes here are configured differently, and the lowest limits hold: "
                + ", ".join(differing)
            ),
            soft_wrap=True,
        )


@app.command("set")
def set_(  # noqa: PLR0913  # a window each
    target: Annotated[
        str,
        typer.Argument(help="agent/ID, env/NAME, account/NAME, or run/ID (or how it begins)."),
    ],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")],
    minute: _Limit = None,
    hour: _Limit = None,
    day: _Limit = None,
    month: _Limit = None,
    run: _Limit = None,
    as_json: _Json = False,
) -> None:
    """Set a limit of a shared account, or (with --run) of an open run; recorded with who and why.

    It holds from now on, in later windows too, until it is set to `default`: then what
    guardrails.yaml says holds again. Running processes follow within a tenth of a second.
    """
    if target == "all":
        raise ConfigError("a limit is one account's; `guardrails budget show` has them")
    _is_meant("", target)  # whether it is a target at all
    by_window = dict(zip(_WINDOWS, (minute, hour, day, month, run), strict=True))
    wanted = [
        (window, *_limit(text)) for window, texts in by_window.items() for text in texts or ()
    ]
    if not wanted:
        raise ConfigError("nothing to set; name a window and a limit, as `--day usd=20`")
    if not reason.strip() or not reason.isprintable():
        raise ConfigError("--reason: a text on one line is needed")
    by = user_name()
    with _opened() as (config, overview, calendar):
        account = _account(target, [each.account for each in overview.stands(time.time_ns())])
        changes: list[Change] = []
        for window, dimension, amount in wanted:
            change = overview.set_limit(
                account, window, dimension, amount, by=by, reason=reason, now_ns=time.time_ns()
            )
            changes.append(change)
            _record(config, change)
    if as_json:
        print_json({"changes": [_change(each, calendar) for each in changes]})
        return
    for each in changes:
        output().print(plain(f"{each.account} a {each.window}: {_step(each)}"))


@app.command()
def history(target: _Target = "all", *, as_json: _Json = False) -> None:
    """List who set, added or lost what, and why; the oldest first."""
    _is_meant("", target)  # whether it is a target at all
    with _opened() as (_, overview, calendar):
        changes = [each for each in overview.history() if _is_meant(each.account, target)]
    if as_json:
        print_json({"changes": [_change(each, calendar) for each in changes]})
        return
    if not changes:
        output().print(plain("nothing was set, added or lost"))
        return
    table = _table(["when", "what", "account", "window", "change", "by", "reason"])
    for each in changes:
        cells = (calendar.moment(each.at), each.kind, each.account, each.window)
        table.add_row(*map(plain, (*cells, _step(each), each.by, each.reason)))
    output().print(table)


@contextmanager
def _opened() -> Iterator[tuple[Config, Overview, Calendar]]:
    config = findable(Config.find())
    if config.state is None:
        raise ConfigError(
            f"{config.file}: `state` is null: every process has budgets of its own in its memory, "
            "which cannot be seen from here"
        )
    plan = config.budgets
    calendar = Calendar(plan.time_zone)
    standing = (f"env/{config.environment}",)
    terms = [
        each
        for each in plan.every_term()
        if not each.account.startswith("env/") or each.account in standing
    ]
    overview = Overview(config.state / FILE_NAME, terms, calendar)
    try:
        yield config, overview, calendar
    finally:
        overview.close()


def _is_meant(account: str, target: str) -> bool:
    if target == "all":
        return True
    kind, _, name = target.partition("/")
    if kind not in _KINDS or not name:
        raise ConfigError(
            f"`{target}` is no target; one of `agent/ID`, `env/NAME`, `account/NAME`, `run/ID`, "
            "`all` is needed"
        )
    return account == target or (kind == "run" and account.startswith(target))


def _account(target: str, known: Sequence[str]) -> str:
    """The one account that is meant; a run also by how its id begins."""
    if target in known or not target.startswith("run/"):
        return target
    found = sorted({name for name in known if name.startswith(target)})
    if len(found) > 1:
        raise ConfigError(f"`{target}` fits several runs: {', '.join(found[:5])}")
    return found[0] if found else target


def _limit(text: str) -> tuple[str, int | None]:
    dimension, equals, amount = text.partition("=")
    if dimension not in DIMENSIONS or not equals:
        known = ", ".join(f"`{name}=…`" for name in DIMENSIONS)
        raise ConfigError(f"`{text}` is no limit; one of {known} is needed")
    if amount == _DEFAULT:
        return dimension, None
    try:
        if dimension == DIMENSIONS[USD]:
            return dimension, micro_usd(amount)
        return dimension, _count(amount)
    except ValueError as error:
        raise ConfigError(f"{dimension}: {error}") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):  # noqa: PLR2004  # as in a budget
        msg = f"a whole number of at most 15 digits is needed, not `{text}`"
        raise ValueError(msg)
    return int(text)


def _record(config: Config, change: Change) -> None:
    if config.record is None:
        notices().print(plain("note: `record` is null; only `budget history` has this"))
        return
    record = open_record(config.record)
    try:
        detail = _change(change, None)
        record.write(Event("budget.set", change.at, detail=detail))
    finally:
        record.close()


def _document(stand: Stand, calendar: Calendar) -> dict[str, Any]:
    def shown(amount: Sequence[int | None]) -> dict[str, Any]:
        return {
            name: in_units(index, part)
            for index, (name, part) in enumerate(zip(DIMENSIONS, amount, strict=True))
            if part is not None
        }

    return {
        "account": stand.account,
        "window": stand.window,
        "began": None if not stand.start else calendar.moment(stand.start),
        "ends": None if not stand.until else calendar.moment(stand.until),
        "limits": shown(stand.limits),
        "spent": shown(stand.spent),
        "taken": shown(stand.taken),
        "crashed": shown(stand.crashed),
        "left": shown(stand.left),
        "set": list(stand.is_set),
        "configured_differently": stand.differs,
        "crashed_at": None if stand.crashed_at is None else calendar.moment(stand.crashed_at),
    }


def _change(change: Change, calendar: Calendar | None) -> dict[str, Any]:
    index = DIMENSIONS.index(change.dimension)
    said: dict[str, Any] = {
        "what": change.kind,
        "account": change.account,
        "window": change.window,
        "dimension": change.dimension,
        "old": None if change.old is None else in_units(index, change.old),
        "new": None if change.new is None else in_units(index, change.new),
        "by": change.by,
        "reason": change.reason,
    }
    if calendar is not None:
        said["when"] = calendar.moment(change.at)
    return said


def _step(change: Change) -> str:
    index = DIMENSIONS.index(change.dimension)
    old, new = (
        "no limit" if each is None else words(index, each) for each in (change.old, change.new)
    )
    return f"{change.dimension} {old} → {new}"


def _window(stand: Stand, calendar: Calendar) -> str:
    if not stand.start:
        return stand.window
    return f"{stand.window} {calendar.words(Window(stand.window), stand.start)}"


def _is_set(stand: Stand, index: int) -> bool:
    return DIMENSIONS[index] in stand.is_set


def _table(columns: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(plain(column), overflow="fold")
    return table
