"""Keys: one at a time, nothing that only looks like one, and a terminal as it was before."""

from __future__ import annotations

import os
import threading
import time

import pytest

termios = pytest.importorskip("termios")
pty = pytest.importorskip("pty")

from guardrails.demo.keys import Keys  # noqa: E402  # only where there are POSIX terminals


@pytest.fixture
def terminal():
    person, program = pty.openpty()
    yield person, program
    os.close(person)
    os.close(program)


def shows_keys(program):
    return bool(termios.tcgetattr(program)[3] & termios.ECHO)


def test_a_key_comes_at_once_and_in_lower_case(terminal):
    person, program = terminal
    with Keys(program) as keys:
        os.write(person, b"A")
        assert keys.read(5) == "a"
        os.write(person, b"t")
        assert keys.read(5) == "t"


def test_without_a_key_the_time_passes(terminal):
    with Keys(terminal[1]) as keys:
        before = time.monotonic()
        assert keys.read(0.05) is None
        assert time.monotonic() - before >= 0.05


@pytest.mark.parametrize("pressed", [b"\x1b[A", b"\x1bOA", b"approve", b"aa", "ä".encode()])
def test_arrows_and_pasted_text_are_no_keys(terminal, pressed):
    person, program = terminal
    with Keys(program) as keys:
        os.write(person, pressed)
        time.sleep(0.05)
        assert keys.read(1) is None
        assert keys.read(0) is None  # nor does a part of it come later


def test_what_was_pressed_before_can_be_forgotten(terminal):
    person, program = terminal
    with Keys(program) as keys:
        os.write(person, b"a")
        time.sleep(0.05)
        keys.forget()
        assert keys.read(0.05) is None


@pytest.mark.parametrize("leaves_by", [None, KeyboardInterrupt, ValueError])
def test_the_terminal_is_given_back(terminal, leaves_by):
    _, program = terminal
    before = termios.tcgetattr(program)
    try:
        with Keys(program):
            assert not shows_keys(program)
            if leaves_by is not None:
                raise leaves_by
    except (KeyboardInterrupt, ValueError):
        pass
    assert termios.tcgetattr(program) == before


def test_a_terminal_that_is_gone_gives_no_keys():
    person, program = pty.openpty()
    try:
        with Keys(program) as keys:
            closing = threading.Thread(target=os.close, args=(person,))
            closing.start()
            closing.join()
            assert keys.read(0.05) is None
    except termios.error:
        pass  # nothing is left to give back
    finally:
        os.close(program)
