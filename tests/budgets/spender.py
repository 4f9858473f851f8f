"""Processes that spend from a shared ledger as fast as they can.

``python spender.py`` reads a line of JSON a time: settings, for which it forks a spender and
says its number, or the number of one, for whose end it waits and says how it was.

Its calls go by a run, as every governed call does: most of them take their hold without a lock.
A spender appends one byte to its log before each call that it was allowed, as the call's effect,
and writes what it did beside its log. The settings: ``path``, ``log``, ``go`` (a file to wait
for), ``run``, ``calls`` (how many it tries), ``cost`` (micro-dollars), ``limits``, ``lease``,
``on_crash``, ``patience`` (seconds for which it tries again after a refusal), ``pause`` (seconds
in each call), ``overrun`` (what every fourth call reports, in micro-dollars).
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback

from guardrails import testing
from guardrails.clock import SystemClock
from guardrails.errors import BudgetExceeded
from guardrails.model.account import Terms, Window
from guardrails.model.budget import Budget, Charge, Usage
from guardrails.model.call import Step
from guardrails.model.facts import AgentFacts, Mode
from guardrails.runs.ledgers.sqlite import SqliteLedger
from guardrails.runs.run import Run

STEP = Step("t", "write", "allow", "ok")


def terms(limits):
    return tuple(
        Terms(account, Window(window), Budget(**words)) for account, window, words in limits
    )


def main(said):
    ledger = SqliteLedger(
        said["path"], lease=said.get("lease", 100), on_crash=said.get("on_crash", "charge")
    )
    run = Run(
        id=said["run"],
        agent=AgentFacts("a", "1", "owner@example.com", "test"),
        governor=testing.governor(clock=SystemClock(), ledger=lambda _: ledger),
        budget=Budget(),
        mode=Mode.ENFORCE,
        terms=terms(said["limits"]),
    )
    run.open()
    while not os.path.exists(said["go"]):  # noqa: PTH110  # not a path's: a poll
        time.sleep(0.005)
    log = os.open(said["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    cost = said.get("cost", 0)
    done = refused = 0
    until = time.monotonic() + said.get("patience", 0)
    for number in range(said["calls"]):
        while True:
            try:
                hold = run.reserve("t", Usage(cost, 0, 1), None)
            except BudgetExceeded:
                if time.monotonic() < until:
                    time.sleep(0.02)
                    continue
                hold = None
            break
        if hold is None:
            refused += 1
            continue
        os.write(log, b"x")
        if said.get("pause"):
            time.sleep(said["pause"])
        if said.get("overrun") and number % 4 == 3:
            os.write(log, b"o")
            run.charge_call(hold, Charge(micro_usd=cost + said["overrun"]))
        run.settle(hold, STEP)
        done += 1
    if said.get("stays"):
        time.sleep(60)
    ledger.close()
    with open(said["log"] + ".json", "w", encoding="utf-8") as file:  # noqa: PTH123  # as above
        json.dump({"done": done, "refused": refused}, file)


def serve():
    for line in sys.stdin:
        said = json.loads(line)
        if isinstance(said, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(said, 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                sys.stdin.close()
                try:
                    main(said)
                except BaseException:  # noqa: BLE001  # it must not go on as its parent
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
