"""What is kept is used as it was written, or not at all."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import replace

import pytest

from guardrails.rego import compile_cache, decoder, planner
from guardrails.rego.compile_cache import CompileCache
from guardrails.rego.compile_request import CompileRequest
from guardrails.rego.compiled import artefact_of
from guardrails.rego.values import RegoSet

SOURCE = 'package p\n\nimport rego.v1\n\nx := y if {\n\ty := sprintf("%v!", [input.a])\n}\n'
KEY = "0123456789abcdef" * 4
REQUEST = CompileRequest({"p.rego": SOURCE}, ("p/x",), {"a": 1})


@pytest.fixture(scope="module")
def artefact():
    plan = planner.plan_modules(REQUEST.modules, REQUEST.entrypoints)
    policy = decoder.decode(plan.document, planner=plan.planner)
    return artefact_of(policy, REQUEST.data, REQUEST.settings())


@pytest.fixture
def cache(tmp_path):
    return CompileCache(tmp_path / "cache")


def only_file(cache):
    (found,) = cache.directory.iterdir()
    return found


def test_what_is_put_is_what_one_gets(cache, artefact) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, artefact)
    assert cache.get(KEY) == artefact
    assert cache.get(KEY[::-1]) is None


def test_only_its_user_can_look_into_it(cache, artefact) -> None:
    before = os.umask(0)
    try:
        cache.put(KEY, artefact)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(cache).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o750, 0o777])
def test_a_directory_that_others_may_use_is_not_used(mode, cache, artefact, caplog) -> None:
    cache.put(KEY, artefact)
    cache.directory.chmod(mode)
    assert cache.get(KEY) is None
    assert "others may use it" in caplog.text
    cache.put(KEY[::-1], artefact)
    assert len(list(cache.directory.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_not_used(mode, cache, artefact) -> None:
    cache.put(KEY, artefact)
    only_file(cache).chmod(mode)
    assert cache.get(KEY) is None


def test_what_belongs_to_somebody_else_is_not_used(cache, artefact, monkeypatch) -> None:
    cache.put(KEY, artefact)
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert cache.get(KEY) is None


def test_no_link_is_followed(cache, artefact, tmp_path) -> None:
    cache.put(KEY, artefact)
    linked = CompileCache(tmp_path / "link")
    linked.directory.symlink_to(cache.directory)
    assert linked.get(KEY) is None
    linked.put(KEY[::-1], artefact)
    file = only_file(cache)
    moved = file.rename(tmp_path / "moved")
    file.symlink_to(moved)
    assert cache.get(KEY) is None
    cache.put(KEY, artefact)  # takes the place of the link, and leaves what it named
    assert not file.is_symlink()
    assert cache.get(KEY) == artefact


def test_a_pipe_in_its_place_is_not_waited_for(cache, artefact) -> None:
    cache.put(KEY, artefact)
    file = only_file(cache)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert cache.get(KEY) is None


def test_a_torn_or_changed_file_is_not_used(cache, artefact) -> None:
    cache.put(KEY, artefact)
    file = only_file(cache)
    whole = file.read_bytes()
    for size in (0, 1, 64, 65, 66, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert cache.get(KEY) is None, size
    for place in range(0, len(whole), 97):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert cache.get(KEY) is None, place
    file.write_bytes(whole)
    assert cache.get(KEY) == artefact


def test_a_key_is_no_path(cache, artefact) -> None:
    cache.put(KEY, artefact)
    for key in ("", "..", "../" + KEY, KEY.upper(), KEY + "\n", KEY[:-1]):
        assert cache.get(key) is None
        cache.put(key, artefact)
    assert len(list(cache.directory.iterdir())) == 1


def test_a_directory_that_cannot_be_made_costs_nothing(artefact, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    cache = CompileCache(tmp_path / "file" / "cache")
    cache.put(KEY, artefact)
    assert cache.get(KEY) is None


def test_what_was_not_used_for_longest_goes(cache, artefact, monkeypatch) -> None:
    monkeypatch.setattr(compile_cache, "MOST_FILES", 3)
    keys = [f"{number:064x}" for number in range(6)]
    for age, key in enumerate(keys[:3]):
        cache.put(key, artefact)
        os.utime(cache.directory / f"{key}.rego", (1_000 + age, 1_000 + age))
    assert cache.get(keys[0]) == artefact  # so it was used last
    cache.put(keys[3], artefact)
    kept = [key for key in keys if cache.get(key) is not None]
    assert kept == [keys[0], keys[2], keys[3]]


def test_together_they_stay_within_bounds(cache, artefact, monkeypatch) -> None:
    size = len(artefact.dumps()) + 65
    monkeypatch.setattr(compile_cache, "LARGEST_CACHE", 2 * size)
    for number in range(4):
        cache.put(f"{number:064x}", artefact)
        os.utime(cache.directory / f"{number:064x}.rego", (1_000 + number, 1_000 + number))
    assert len(list(cache.directory.iterdir())) == 2
    monkeypatch.setattr(compile_cache, "LARGEST_FILE", size - 66)
    cache.put(KEY, artefact)
    assert cache.get(KEY) is None


def test_a_draft_of_a_dead_writer_goes(cache, artefact) -> None:
    cache.put(KEY, artefact)
    for name, used in ((".old", 1_000), (".new", only_file(cache).stat().st_mtime)):
        (cache.directory / name).write_text("")
        os.utime(cache.directory / name, (used, used))
    cache.put(KEY, artefact)
    assert {path.name for path in cache.directory.iterdir()} == {f"{KEY}.rego", ".new"}


def test_readers_see_all_of_it_or_none(cache, artefact) -> None:
    done = threading.Event()
    faults = []

    def read() -> None:
        while not done.is_set():
            found = cache.get(KEY)
            if found is not None and found != artefact:
                faults.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        cache.put(KEY, artefact)
    done.set()
    reader.join()
    assert not faults
    assert cache.get(KEY) == artefact


@pytest.mark.parametrize(
    "other",
    [
        {"modules": {"p.rego": SOURCE + "\n"}},
        {"modules": {"q.rego": SOURCE}},
        {"modules": {"p.rego": SOURCE, "q.rego": "package q"}},
        {"entrypoints": ("p",)},
        {"data": {"a": 2}},
        {"data": {"a": "1"}},
        {"data": {"a": RegoSet([1])}},
        {"data": {"a": [1]}},
        {"data": {}},
        {"planner": "opa"},
        {"schema": {"type": "object"}},
        {"known": {"agent": {"id": "a"}}},
        {"strict": False},
        {"checked": False},
    ],
    ids=str,
)
def test_what_an_answer_depends_on_is_in_its_key(other) -> None:
    key = REQUEST.digest()
    assert replace(REQUEST).digest() == key
    assert replace(REQUEST, **other).digest() != key


def test_the_users_cache_follows_the_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert CompileCache.of_user().directory == tmp_path / "guardrails"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert CompileCache.of_user().directory == tmp_path / "home" / ".cache" / "guardrails"
