"""Lines of a record that something has happened to."""

from __future__ import annotations

from hypothesis import strategies as st

BEYOND = b"1e9999999999999999999"
"""JSON's grammar has it; no decimal number is so large."""

PIECES = st.sampled_from(
    [
        *(bytes([each]) for each in b'"\\{}[],:019.eE-+ \x00\x1f\x80\xff\n'),
        b"null",
        b'"kind":5,',
        b'"effect":"deny",',
        b"NaN",
        b'"\\ud800"',
        b"\xc3\xa9",
        BEYOND,
        b"[" * 2000,
    ]
)
DAMAGES = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 40), st.just(b"") | PIECES), max_size=3
)


def damaged(line: bytes, damages: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, piece in damages:
        at = place % len(line)
        line = line[:at] + piece + line[at + length :]
        if not line:
            return b"\n"
    return line
