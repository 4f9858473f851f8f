"""A process that spends from a shared ledger as fast as it can: ``python spender.py JSON``.

It appends one byte to its log before each call that it was allowed, as the call's effect, and
prints what it did. The settings: ``path``, ``log``, ``run``, ``calls`` (how many it tries),
``cost`` (micro-dollars), ``limits``, ``lease``, ``on_crash``, ``patience`` (seconds for which it
tries again after a refusal), ``pause`` (seconds in each call), ``overrun`` (what every fourth
call reports, in micro-dollars).
"""

from __future__ import annotations

import json
import os
import sys
import time

from guardrails.errors import BudgetExceeded
from guardrails.model.account import Terms, Window
from guardrails.model.budget import Budget, Charge, Usage
from guardrails.model.call import Step
from guardrails.runs.ledgers.sqlite import SqliteLedger

STEP = Step("t", "write", "allow", "ok")


def terms(limits):
    return tuple(
        Terms(account, Window(window), Budget(**words)) for account, window, words in limits
    )


def main(said):
    ledger = SqliteLedger(
        said["path"], lease=said.get("lease", 100), on_crash=said.get("on_crash", "charge")
    )
    ledger.open_run(said["run"], parent_id=None, budget=Budget(), terms=terms(said["limits"]))
    log = os.open(said["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    cost = said.get("cost", 0)
    done = refused = 0
    until = time.monotonic() + said.get("patience", 0)
    for number in range(said["calls"]):
        while True:
            try:
                hold = ledger.reserve(said["run"], "t", Usage(cost, 0, 1), None)
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
            ledger.charge(hold, Charge(micro_usd=cost + said["overrun"]))
        ledger.settle(hold, STEP)
        done += 1
    if said.get("stays"):
        time.sleep(60)
    ledger.close()
    sys.stdout.write(json.dumps({"done": done, "refused": refused}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
