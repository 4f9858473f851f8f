"""What an isolated tool's process and its agent say to each other arrives, or is no message."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.enforcement.worker_messages import Garbled, receive, send
from guardrails.model.canonical import canonical

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's"),
]

PATIENCE = 60


@pytest.fixture(scope="module")
def line():
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(PATIENCE)
        other.settimeout(PATIENCE)
        yield one, other


exact = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("ab"), exact | st.decimals(-9, 9, places=3), max_size=3))
def test_a_message_arrives_as_it_was_sent(line, message) -> None:
    send(line[0], message)
    assert canonical(receive(line[1])) == canonical(message)


@given(st.binary(max_size=40))
def test_whatever_comes_is_a_message_or_told_to_be_none(data) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(data)
        one.close()
        try:
            found = receive(other)
        except Garbled:
            return
        assert found is None or type(found) is dict


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, '{"a": NaN}', "[]", "1", '"x"', '{"a":1', "\udcff", "9" * 5000),
        *('{"a": 1e9999999999999999999}', '{"a": 1, "a": 2}'),
    ],
)
def test_what_is_no_object_is_no_message(text) -> None:
    one, other = socket.socketpair()
    with one, other:
        data = text.encode("utf-8", "surrogateescape")
        one.sendall(len(data).to_bytes(4, "big") + data)
        with pytest.raises(Garbled):
            receive(other)
        one.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(Garbled, match="larger"):
            receive(other)
