"""Calls that stand for what the shipped library decides about.

Of 50 calls in a pass 40 are allowed: an agent that is refused or has to wait for a person more
than every fifth time does not work. Reading is commonest, as in the record of an agent at work;
each rule package refuses or asks at least once.
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
            agent="billing-agent",
            tool="match_invoice",
            resource="invoices",
            operation="read",
            args={"invoice": "INV-2041", "amount": 416},
        ),
        "allow",
        16,
    ),
    Case(
        "read by an MCP server",
        call(
            agent="research-agent",
            owner="tom.okafor@acme.example",
            tool="crm.find_contacts",
            resource="crm.contacts",
            operation="read",
            args={"query": "Brandt", "limit": 20},
            labels=["mcp"],
            environment="staging",
        ),
        "allow",
        2,
    ),
    Case(
        "read in staging",
        call(
            agent="support-agent",
            owner="mia.lind@acme.example",
            tool="get_ticket",
            resource="tickets",
            operation="read",
            args={"ticket": 88123, "with_history": True},
            environment="staging",
        ),
        "allow",
        6,
    ),
    Case(
        "write without a label",
        call(
            agent="warehouse-agent",
            owner="ola.hansen@acme.example",
            tool="transfer_stock",
            resource="stock",
            operation="write",
            args={"article": "4711-B", "pieces": 40, "site": "Odense"},
        ),
        "allow",
        5,
    ),
    Case(
        "payment that the register lets pass",
        call(
            agent="billing-agent",
            tool="pay_invoice",
            resource="payments",
            operation="write",
            args={"invoice": "INV-2041", "amount": Decimal("418.20")},
            labels=["moves_money"],
        ),
        "allow",
        5,
    ),
    Case(
        "mail to a contact's domain",
        call(
            agent="billing-agent",
            tool="send_mail",
            resource="mail",
            operation="write",
            args={
                "to": ["orders@brandt.example", "Anna.Helvig@helvig.example"],
                "cc": None,
                "subject": "INV-2041",
                "body": "Paid today.",
            },
            labels=["customer_facing"],
        ),
        "allow",
        6,
    ),
    Case(
        "payment above the limit",
        call(
            agent="billing-agent",
            tool="pay_invoice",
            resource="payments",
            operation="write",
            args={"invoice": "INV-2044", "amount": 4180},
            labels=["moves_money"],
        ),
        "require_approval",
        1,
    ),
    Case(
        "change of production configuration",
        call(
            agent="deploy-agent",
            owner="ines.moreau@acme.example",
            tool="set_flag",
            resource="configuration",
            operation="write",
            args={"flag": "new_checkout", "value": True},
            labels=["production_config"],
        ),
        "require_approval",
        1,
    ),
    Case(
        "two labels, no entry",
        call(
            agent="payroll-agent",
            owner="kim.sato@acme.example",
            tool="pay_salary",
            resource="payments",
            operation="write",
            args={"employee": 12, "amount": 3900},
            labels=["moves_money", "personal_data"],
        ),
        "require_approval",
        1,
    ),
    Case(
        "neither granted nor permitted",
        call(
            agent="research-agent",
            owner="tom.okafor@acme.example",
            tool="crm.delete_lead",
            resource="crm.leads",
            operation="delete",
            args={"lead": "L-981"},
            labels=["mcp"],
            environment="staging",
        ),
        "deny",
        1,
    ),
    Case(
        "mail to a stranger",
        call(
            agent="support-agent",
            owner="mia.lind@acme.example",
            tool="send_mail",
            resource="mail",
            operation="write",
            args={"to": "eve@evil.example,x@acme.example", "subject": "hello", "body": "all"},
            labels=["customer_facing"],
        ),
        "deny",
        1,
    ),
    Case(
        "environment not cleared",
        call(
            agent="payroll-agent",
            owner="kim.sato@acme.example",
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
            agent="deploy-agent",
            owner="ines.moreau@acme.example",
            tool="run_shell",
            resource="services",
            operation="execute",
            args={"command": "systemctl restart web"},
        ),
        "deny",
        1,
    ),
    Case(
        "another owner",
        call(
            agent="analytics-agent",
            tool="run_query",
            resource="warehouse",
            operation="read",
            args={"sql": "select count(*) from orders"},
        ),
        "deny",
        1,
    ),
    Case(
        "review overdue",
        call(
            agent="auditor-agent",
            owner="kim.sato@acme.example",
            tool="list_bookings",
            resource="ledgers",
            operation="read",
            args={"month": "2026-05"},
        ),
        "deny",
        1,
    ),
    Case(
        "no budget left",
        call(
            agent="procurement-agent",
            owner="sam.haddad@acme.example",
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
