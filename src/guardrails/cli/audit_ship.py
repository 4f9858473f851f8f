"""``guardrails audit ship``: decision logs sent from here, instead of by the agents."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

import typer

from guardrails.cli.console import output, plain
from guardrails.cli.moments import counted
from guardrails.clock import SystemClock
from guardrails.config import Config
from guardrails.config.layers import policy_files
from guardrails.decider import make_decider
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.opa_reports import OpaReports
from guardrails.register import Register


def ship(
    *,
    follows: Annotated[
        bool, typer.Option("--follow", help="Go on, as often as `reporting` says, until stopped.")
    ] = False,
) -> None:
    """Send the decisions that the log service does not have yet.

    Governors do that themselves, unless this runs: one process of a machine sends. Exits with 3
    where not all was taken; the rest is sent the next time.
    """
    config = Config.find()
    clock = SystemClock()
    register = Register.load(config.agents)
    decider = make_decider(
        config,
        policy_files(config),
        lambda: {"agents": register.policy_data()},
        report=lambda _: None,
        clock=clock,
    )
    try:
        opa = decider.opa
        logs = None if opa is None else opa.decision_logs
        if opa is None or logs is None or logs.service is None:
            msg = f"{config.file}: `opa_config` names no service that takes `decision_logs`"
            raise ConfigError(msg)
        if decider.in_process is None:
            msg = f"{config.file}: an OPA server decides, and sends its decisions itself"
            raise ConfigError(msg)
        # What else is in the file is said and logged by the processes that it is about.
        opa = replace(opa, status=None, decision_logs=replace(logs, console=False))
        reports = OpaReports(config, opa, decider.in_process, decider.bundles, clock)
        (sending,) = reports.sendings
        try:
            shipped = sending.send()
            what = f"{counted(shipped.entries, 'decision')} in {counted(shipped.chunks, 'chunk')}"
            output().print(plain(f"sent {what} to `{logs.service.name}`"), soft_wrap=True)
            if follows:
                logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
                reports.start()
                with suppress(KeyboardInterrupt):
                    threading.Event().wait()
                reports.end()
            elif shipped.problem is not None:
                raise StateUnavailable(f"not all was sent: {shipped.problem}")
        finally:
            sending.leave()
    finally:
        decider.close()
