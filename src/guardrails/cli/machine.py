"""What the commands on a running machine stand on: its state, its register, its record.

Neither a broken register nor policies that do not load may keep an operator from
killing: only the state directory is needed, and ``--state`` names it without any
configuration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardrails.audit.opening import open_record
from guardrails.cli.callbacks import findable
from guardrails.cli.console import notices, plain
from guardrails.config import Config
from guardrails.errors import ConfigError, GuardrailsError, StateUnavailable
from guardrails.model.call import Event
from guardrails.processes import user_name
from guardrails.register import Register
from guardrails.runs.directory import FILE, RunDirectory
from guardrails.runs.kill_facts import unreadable
from guardrails.runs.kill_shared import SharedKillSwitch
from guardrails.runs.kill_store import TABLE

if TYPE_CHECKING:
    from guardrails.ports import Record
    from guardrails.runs.directory import ListedRun

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="The state directory itself, without a configuration. Nothing is recorded then.",
    ),
]
ByOption = Annotated[
    str | None,
    typer.Option("--by", help="Who decided it, where that is somebody else than who types it."),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is recorded and shown.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


class NothingShared(ConfigError):  # noqa: N818  # named for what is the case
    """Processes of this configuration share no state: nothing of theirs can be seen.

    Attributes:
        config: The configuration.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            f"{config.file}: `state: null` shares nothing between processes; each has its own "
            "kill switch, which only the program itself can use"
        )
        self.config = config


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine's shared state, and what the configuration says about it.

    Attributes:
        state: The directory.
        config: The configuration; None where only the directory was named.
    """

    state: Path
    config: Config | None

    @classmethod
    def find(cls, state: Path | None) -> Machine:
        """The machine of the directory `state`, else of the configuration that holds here.

        Raises:
            NothingShared: the configuration names no state directory.
            ConfigError: there is none.
            StateUnavailable: this user cannot look into the directory.
        """
        if state is not None:
            if not state.is_dir():
                raise ConfigError(f"--state: `{state}` is no directory")
            return cls(_reached(state.absolute()), None)
        try:
            config = findable(Config.find())
        except GuardrailsError:
            say("note: `--state DIR` works without a configuration")
            raise
        if config.state is None:
            raise NothingShared(config)
        return cls(_reached(config.state), config)

    def kill_switch(self) -> SharedKillSwitch:
        """The machine's kill switch; made where there is none yet."""
        return SharedKillSwitch(self.state)

    @property
    def has_kill_switch(self) -> bool:
        """Whether a kill switch was made here."""
        return (self.state / TABLE).exists()

    def directory(self) -> RunDirectory | None:
        """The directory of runs; None where there was no run yet."""
        return RunDirectory(self.state) if (self.state / FILE).exists() else None

    def listed(self) -> tuple[tuple[ListedRun, ...], tuple[str, ...]]:
        """All listed runs, the newest first, and the names of the tools that they called.

        Nothing, said aloud, where they cannot be read: a kill does not need them.
        """
        try:
            directory = self.directory()
            return (
                ((), ()) if directory is None else (directory.runs(ended=True), directory.tools())
            )
        except StateUnavailable as error:
            say(f"warning: {error}")
            return (), ()

    def register(self) -> Register | None:
        """The register; None, said aloud, where it cannot be read."""
        if self.config is None:
            return None
        try:
            return Register.load(self.config.agents)
        except GuardrailsError as error:
            say(f"warning: the register cannot be read, so nobody is named: {error}")
            return None

    @property
    def record_path(self) -> Path | None:
        """Where the record is; None where there is none that others can read."""
        return (
            None if self.config is None or self.config.record is None else self.config.record.path
        )

    def record(self) -> Record | None:
        """The record, to write to; None where there is none.

        Raises:
            StateUnavailable: it cannot be written.
        """
        if self.config is None or self.config.record is None:
            return None
        return open_record(self.config.record)


def _reached(state: Path) -> Path:
    """`state`, if this user can look into it: what cannot be seen is not what is not there."""
    try:
        (state / TABLE).exists()
    except OSError as error:
        raise unreadable(state, error) from error
    return state


def given(reason: str | None) -> str:
    """The reason of an act, if there is one.

    Raises:
        ConfigError: there is none, or nothing is in it.
    """
    if reason is None or not reason.strip():
        raise ConfigError("--reason: say why; it is recorded and shown")
    return reason


def write_act(record: Record | None, kind: str, **detail: Any) -> None:
    """Write a kill or resume to the record, if there is one, and close it.

    Raises:
        StateUnavailable: it cannot be written.
    """
    if record is not None:
        record.write(Event(kind, time.time_ns(), detail=detail))
        record.close()  # which says whether it is on the disk


def operator(by: str | None) -> str:
    """Who acts: the operating system's user, and beside it whom that user names.

    The user is the one that this process runs as, by its id; no variable can change it.
    """
    user = user_name()
    return user if by is None else f"{by} (as user {user})"


def say(text: object) -> None:
    """Print one remark on standard error."""
    notices().print(plain(text))
