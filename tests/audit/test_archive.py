"""The archive: what was kept comes back as it was, or not at all."""

from __future__ import annotations

import stat
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.audit.archive import Archive
from guardrails.errors import StateUnavailable


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(content=st.binary(max_size=200))
def test_what_was_kept_comes_back(tmp_path, content):
    archive = Archive(tmp_path / "archive")
    assert archive.get(archive.put(content)) == content
    assert archive.put(content) == archive.put(content)


def test_files_are_their_users_alone(tmp_path):
    archive = Archive(tmp_path / "archive")
    archive.put(b"x")
    archive.seen("agents", archive.put(b"y"))
    for each in (tmp_path / "archive").rglob("*"):
        assert stat.S_IMODE(each.stat().st_mode) == (0o700 if each.is_dir() else 0o600)


def test_what_was_changed_is_told(tmp_path):
    archive = Archive(tmp_path)
    digest = archive.put(b"package a")
    file = next(each for each in tmp_path.rglob("*") if each.is_file())
    file.chmod(0o600)
    file.write_bytes(b"package b")
    with pytest.raises(StateUnavailable, match="not what was kept"):
        archive.get(digest)


@pytest.mark.parametrize("digest", ["sha256:../../etc/passwd", "", "md5:1", "sha256:" + "0" * 64])
def test_what_is_no_digest_or_not_there_is_nothing(tmp_path, digest):
    assert Archive(tmp_path).get(digest) is None


def test_threads_keep_the_same_at_once(tmp_path):
    archive = Archive(tmp_path)
    digests: list[str] = []
    threads = [
        threading.Thread(target=lambda: digests.append(archive.put(b"z" * 10_000)))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(digests)) == 1
    assert len([each for each in tmp_path.rglob("*") if each.is_file()]) == 1


def test_what_was_seen_before_is_known(tmp_path):
    archive = Archive(tmp_path)
    one, two = archive.put(b"1"), archive.put(b"2")
    assert [archive.seen("a", one), archive.seen("a", one), archive.seen("a", two)] == [
        None,
        one,
        one,
    ]
