"""What a tool's process and its agent say to each other: JSON objects, each after its length.

Nothing is unpickled on either side. The tool's process has handled what others wrote, so its
agent takes from it only documents, of a bounded size, and what it does not expect is a failure.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from guardrails.model.canonical import canonical
from guardrails.model.exact_text import read_exact

if TYPE_CHECKING:
    import socket

LONGEST: Final = 64 << 20
"""Bytes of one message at most."""

_HEAD: Final = struct.Struct(">I")


class Garbled(ValueError):  # noqa: N818  # named for what the message is, as MalformedDecision
    """What came is no message."""


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message of exact JSON.

    Raises:
        Garbled: it is larger than any may be.
        NotExactJSON: it holds something else.
        OSError: nobody listens.
    """
    text = canonical(message)
    if len(text) > LONGEST:
        msg = f"a message of {len(text)} bytes is larger than {LONGEST}"
        raise Garbled(msg)
    connection.sendall(_HEAD.pack(len(text)) + text)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next message; None where the other side has ended.

    Raises:
        Garbled: something else came.
    """
    head = _exactly(connection, _HEAD.size)
    if head is None:
        return None
    (length,) = _HEAD.unpack(head)
    if length > LONGEST:
        msg = f"a message of {length} bytes is larger than {LONGEST}"
        raise Garbled(msg)
    text = _exactly(connection, length)
    if text is None:
        return None
    try:
        message = read_exact(text)
    except ValueError as error:
        msg = f"a message is no JSON: {error}"
        raise Garbled(msg) from None
    if type(message) is not dict:
        msg = "a message is no object"
        raise Garbled(msg)
    return message


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count:
        try:
            part = connection.recv(min(count, 1 << 20))
        except ConnectionError:  # the other side was killed
            return None
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
