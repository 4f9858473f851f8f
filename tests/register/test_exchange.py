"""A register survives every form in which it leaves: import of an export changes nothing."""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.register import Register, SourceError
from guardrails.register.csv_table import COLUMNS, from_csv, to_csv
from guardrails.register.schema import SCHEMA_FILE, schema_text
from guardrails.register.source import Source
from guardrails.register.yaml_source import parse_yaml
from guardrails.register.yaml_text import to_yaml

IDS = st.from_regex(r"[a-z][a-z0-9]{0,5}([._-][a-z0-9]{1,4})?", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,8}", fullmatch=True)
LINES = st.one_of(
    st.text(min_size=1, max_size=30),
    st.sampled_from(
        ["=1+1", "'x", "''", "-5", "@x", "no", "1e5", "017", "null", "a, b: c", '"', "a|b"]
    ),
    st.sampled_from(
        ["# x", "- x", "a: b", "{}", "[", "*x", "&x", "!x", "%x", "2026-01-01", "<<", "="]
    ),
).filter(lambda text: text.isprintable() and text == text.strip() and text != "")
PEOPLE = st.from_regex(r"[bcdfgh]{3}\.[bcdfgh]{4}(\+[a-z]{2})?", fullmatch=True).map(
    lambda local: f"{local}@acme.example"
)
DAYS = st.dates(min_value=date(2020, 1, 1), max_value=date(2100, 1, 1)).map(date.isoformat)
DOLLARS = st.decimals(min_value=0, max_value=10**6, places=6)
COUNTS = st.integers(min_value=0, max_value=10**15)
SECONDS = st.integers(min_value=1, max_value=366 * 86_400)
CONTACTS = st.one_of(
    PEOPLE, st.just("@acme.example"), LINES.filter(lambda x: not set(x) & set("@*"))
)


def lists(of, least=0):
    return st.lists(of, min_size=least, max_size=3, unique=True)


def some(needed, /, **optional):
    return st.fixed_dictionaries(needed, optional=optional)


LIMITS = some({}, usd=DOLLARS, tokens=COUNTS, calls=COUNTS, seconds=SECONDS).filter(bool)
NEEDS = st.one_of(
    st.just({"required": False}),
    some({}, approvers=lists(NAMES, 1), quorum=st.integers(1, 100), expires_in=SECONDS),
    some({"above": DOLLARS, "argument": NAMES}, required=st.just(value=True)),
)


def entries(others):
    return some(
        {"owner": PEOPLE},
        version=st.from_regex(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,6}", fullmatch=True),
        deputy=st.just("other.person@acme.example"),
        purpose=LINES,
        on_call=some({"notify": LINES}, runbook=LINES, dashboard=LINES),
        signed_off=some({"by": PEOPLE, "on": DAYS}),
        review_by=DAYS,
        budget=st.dictionaries(IDS, LIMITS, max_size=2),
        access=st.dictionaries(NAMES, lists(NAMES, 1), max_size=2),
        contacts=lists(CONTACTS),
        success=lists(LINES),
        approval=st.dictionaries(NAMES, NEEDS, max_size=2),
        delegates=st.dictionaries(st.sampled_from(others), st.booleans(), max_size=2).map(
            lambda found: [{"to": to, "narrow": narrow} for to, narrow in found.items()]
        ),
        labels=lists(NAMES),
    )


REGISTERS = st.fixed_dictionaries(
    {
        "first": entries(["second", "a.third-1"]),
        "second": entries(["first"]),
        "a.third-1": entries(["first"]),
    }
).map(lambda value: Register.from_source(Source("made", value)))


@settings(max_examples=40, deadline=None)
@given(REGISTERS)
def test_yaml_gives_back_what_went_in(register):
    assert Register.from_source(parse_yaml(to_yaml(register), "out.yaml")) == register


@settings(max_examples=40, deadline=None)
@given(REGISTERS)
def test_csv_gives_back_what_went_in(register):
    back = from_csv(to_csv(register), "out.csv")
    assert back == register
    assert back.policy_data() == register.policy_data()


@settings(max_examples=20, deadline=None)
@given(REGISTERS)
def test_no_cell_is_a_formula(register):
    rows = list(csv.reader(io.StringIO(to_csv(register), newline="")))
    assert rows[0] == list(COLUMNS)
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_a_table_made_by_hand_is_read():
    text = (
        "owner,id,access,budget,contacts,delegates,approval\n"
        'dana@acme.example, bot ,"payments: read, write\n mail:execute: x",prod: usd=5,'
        '@acme.example,,"refund: above=10.5, argument=amount, approvers=a|b\nmoves_money:"\n'
        ",,,,,,\n"
    )
    register = from_csv(text, "hand.csv")
    entry = register.entries["bot"]
    assert entry.access == {"payments": ("read", "write"), "mail:execute": ("x",)}
    assert entry.contacts == ("@acme.example",)
    assert entry.approval["refund"].approvers == ("a", "b")
    assert entry.approval["moves_money"].above is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no table"),
        ("id,ownr\n", "t.csv:1:2: ownr: unknown column (did you mean `owner`?)"),
        ("id\nx\n", "t.csv:1:1: owner: the column is missing"),
        ("id,owner,id\n", "t.csv:1:3: id: the column is given twice"),
        ("id,owner\nx\n", "t.csv:2:1: has 1 cells, and the header 2"),
        (
            "id,owner\nx,a@b.example\nx,a@b.example\n",
            "t.csv:3:1: x: is given twice, first in line 2",
        ),
        ("id,owner\nx,ops@b.example\n", "t.csv:2:2: x.owner: a person's own address"),
        (
            'id,owner,success\nx,a@b.example,"1\n2\n3"\ny,team@b.example,\n',
            "t.csv:5:2: y.owner: a p",
        ),
        (
            "id,owner,budget\nx,a@b.example,prod: usd=five\n",
            "t.csv:2:3: x.budget.prod.usd: a number",
        ),
        (
            "id,owner,approval\nx,a@b.example,p: quorm=1\n",
            "t.csv:2:3: x.approval.p.quorm: unknown key",
        ),
        ('id,owner\n"x,a@b.example\n', "is no CSV"),
        ("id,owner\n,a@b.example\n", "t.csv:2:1"),
        (
            'id,owner,budget\nx,a@b.example,"p: usd=5, usd=50"\n',
            "t.csv:2:3: x.budget: `usd` is given",
        ),
        (
            'id,owner,access\nx,a@b.example,"p: r\np: w"\n',
            "t.csv:2:3: x.access: `p` is given twice",
        ),
    ],
)
def test_an_error_names_line_and_cell(text, said):
    with pytest.raises(SourceError) as caught:
        from_csv(text, "t.csv")
    assert said in str(caught.value)


def test_the_published_schema_is_the_one_that_is_generated():
    published = SCHEMA_FILE.read_text(encoding="utf-8")
    assert published == schema_text(), "run `python -m guardrails.register.schema`"
    assert json.loads(published)["$defs"]["AgentEntry"]["required"] == ["owner"]
