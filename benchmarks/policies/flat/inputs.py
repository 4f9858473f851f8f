"""Twelve calls that stand for what `flat` decides about.

Of 50 calls in a pass 40 are allowed: an agent that is refused more than every fifth call does not
work. Reading is commonest, as in the record of an agent at work; each rule refuses at least once.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from benchmarks.calls import call
from benchmarks.workload import Case

CASES: Final = (
    Case(
        "read",
        call(
            agent="billing",
            tool="get_invoice",
            resource="invoices",
            operation="read",
            args={"invoice": "INV-2041"},
        ),
        "allow",
        18,
    ),
    Case(
        "read of another agent",
        call(
            agent="support",
            tool="get_ticket",
            resource="tickets",
            operation="read",
            args={"ticket": 88123, "with_history": True},
            environment="staging",
        ),
        "allow",
        8,
    ),
    Case(
        "payment within the limit",
        call(
            agent="billing",
            tool="pay",
            resource="payments",
            operation="write",
            args={"invoice": "INV-2041", "amount": 418},
        ),
        "allow",
        6,
    ),
    Case(
        "refund with cents",
        call(
            agent="billing",
            tool="refund",
            resource="payments",
            operation="write",
            args={"order": "A-17", "amount": Decimal("19.99")},
        ),
        "allow",
        3,
    ),
    Case(
        "mail to a contact",
        call(
            agent="billing",
            tool="send_mail",
            resource="mail",
            operation="write",
            args={"to": "orders@brandt.example", "subject": "INV-2041", "body": "Paid today."},
        ),
        "allow",
        5,
    ),
    Case(
        "not granted",
        call(
            agent="research",
            tool="pay",
            resource="payments",
            operation="write",
            args={"invoice": "INV-2041", "amount": 20},
            environment="staging",
        ),
        "deny",
        2,
    ),
    Case(
        "wrong environment",
        call(
            agent="payroll",
            tool="get_employee",
            resource="employees",
            operation="read",
            args={"employee": 12},
            environment="dev",
        ),
        "deny",
        1,
    ),
    Case(
        "blocked tool",
        call(
            agent="deploy",
            tool="run_shell",
            resource="services",
            operation="execute",
            args={"command": "systemctl restart web"},
        ),
        "deny",
        1,
    ),
    Case(
        "amount above the limit",
        call(
            agent="billing",
            tool="pay",
            resource="payments",
            operation="write",
            args={"invoice": "INV-2041", "amount": 4180},
        ),
        "deny",
        2,
    ),
    Case(
        "amount is null",
        call(
            agent="billing",
            tool="refund",
            resource="payments",
            operation="write",
            args={"order": "A-17", "amount": None},
        ),
        "deny",
        1,
    ),
    Case(
        "mail to a stranger",
        call(
            agent="support",
            tool="send_mail",
            resource="mail",
            operation="write",
            args={"to": "eve@evil.example", "subject": "hello", "body": "all customers attached"},
        ),
        "deny",
        2,
    ),
    Case(
        "no budget left",
        call(
            agent="procurement",
            tool="get_order",
            resource="orders",
            operation="read",
            args={"order": "A-17"},
            remaining={"usd": Decimal("-0.02"), "calls": 3},
        ),
        "deny",
        1,
    ),
)
