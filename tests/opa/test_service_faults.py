"""Whatever a service answers, the old bundle goes on; and nothing secret goes elsewhere."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from tests.opa.bundle_server import BundleServer
from tests.opa.running import FIRST, SECOND, Running, settings_of, status

from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.opa.services import DOWNLOAD, Service
from guardrails.rego.archive import ArchiveLimits


def cut(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(SECOND)))
    handler.end_headers()
    handler.wfile.write(SECOND[:-10])


def cut_in_a_chunk(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n" % len(SECOND) + SECOND[:-10])


def huge(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(200):
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        return


def reset(handler: Any) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def silent(handler: Any) -> None:
    with handler.service.changed:
        handler.service.changed.wait_for(lambda: handler.service.closing, 5)


def garbage(handler: Any) -> None:
    handler.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")


FAULTS = {
    "500": (status(500), "answered 500", 500),
    "404": (status(404), "answered 404", 404),
    "401": (status(401), "answered 401", 401),
    "204": (status(204), "answered 204", 204),
    "304 to nothing": (status(304), "nothing was there", None),
    "a page": (status(200), "no gzipped tar", None),
    "nothing": (status(200, b""), "no gzipped tar", None),
    "cut": (cut, "cannot be reached", None),
    "cut in a chunk": (cut_in_a_chunk, "cannot be reached", None),
    "huge": (huge, "more than 65536 bytes", None),
    "reset": (reset, "cannot be reached", None),
    "silent": (silent, "timed out", None),
    "garbage": (garbage, "cannot be reached", None),
    "an encoding": (status(200, SECOND, **{"Content-Encoding": "gzip"}), "encoding", None),
    "a circle": (status(302, b"", Location="/bundles/b"), "more than 5 times", None),
    "a redirect to nothing": (status(302, b""), "no address", None),
    "a redirect to a file": (status(302, b"", Location="file:///etc/passwd"), "no address", None),
}


@pytest.mark.parametrize("name", FAULTS)
def test_whatever_a_service_does_the_old_bundle_goes_on(name, server) -> None:
    fault, said, code = FAULTS[name]
    settings = settings_of(
        server,
        limits=ArchiveLimits(archive=1 << 16),
        service=Service("s", server.url, timeout=0.3),
    )
    server.serve("/bundles/b", FIRST, etag="" if name == "304 to nothing" else '"one"')
    with Running(server, settings) as its:
        its.start()
        server.fail("/bundles/b", fault)
        assert its.poll() == pytest.approx(0.1)
        status = its.status
        assert status.active_revision == "r1"
        assert status.code == "bundle_error"
        assert said in status.message
        assert status.http_code == code
        assert its.decider.taken == ["b=r1"]
        assert status.last_successful_request != status.last_request
        server.serve("/bundles/b", SECOND)
        its.poll()
        assert (its.status.active_revision, its.status.code) == ("r2", "")


def test_an_answer_that_drips_ends(server) -> None:
    server.serve("/bundles/b", FIRST)
    with Running(server) as its:
        its.start()

        def drips(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b"x")
                    its.clock.advance(DOWNLOAD / 50)
                    time.sleep(0.005)
            except OSError:
                return

        server.fail("/bundles/b", drips)
        its.poll()
        assert "took longer than 120 s" in its.status.message
        assert its.status.active_revision == "r1"


def test_a_service_that_is_away_is_an_error_at_start_and_in_words(server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        service = Service("s", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with (
            Running(server, settings_of(server, service=service)) as its,
            pytest.raises(
                PolicyLoadError, match=r"b: service s: cannot be reached: Failed .*refused"
            ),
        ):
            its.start()


def test_redirects_within_a_service_are_followed_and_elsewhere_only_without_secrets(server) -> None:
    with BundleServer() as other:
        other.serve("/real", SECOND)
        server.serve("/real", FIRST)
        server.fail("/bundles/b", status(307, b"", Location="/real"))
        for secret in ({}, {"token": "t0p"}, {"headers": {"X-Key": "t0p"}}):
            service = Service("s", server.url, **secret)
            server.fail("/bundles/b", status(307, b"", Location="/real"))
            with Running(server, settings_of(server, service=service)) as its:
                its.start()
                assert its.status.active_revision == "r1"
                server.fail("/bundles/b", status(302, b"", Location=f"{other.url}/real"))
                its.poll()
                assert its.status.active_revision == ("r1" if secret else "r2")
        assert len(other.requests) == 1
        assert "t0p" not in str(other.requests)


def test_credentials_and_headers_are_sent_and_tokens_are_read_anew(server, tmp_path) -> None:
    (tmp_path / "token").write_text("one\n")
    service = Service("s", server.url, {"X-Team": "a"}, token_path=tmp_path / "token")
    server.serve("/bundles/b", FIRST)
    with Running(server, settings_of(server, service=service)) as its:
        its.start()
        assert server.headers()["authorization"] == "Bearer one"
        assert server.headers()["x-team"] == "a"
        (tmp_path / "token").write_text("two")
        its.poll()
        assert server.headers()["authorization"] == "Bearer two"
        (tmp_path / "token").write_bytes(b"a\r\nX-Other: b")
        its.poll()
        assert "plain characters" in its.status.message
        (tmp_path / "token").unlink()
        its.poll()
        assert "cannot be read" in its.status.message


@pytest.mark.parametrize(
    "url", ["ftp://x", "bundles", "http://", "http://u:p@host", "https://host/#x"]
)
def test_a_url_is_of_a_service(url) -> None:
    with pytest.raises(ConfigError):
        Service("s", url)
