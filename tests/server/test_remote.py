"""``guardrails approvals --server``: what it shows is answered; its token goes nowhere else."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from guardrails.audit.exact_json import exact_json
from guardrails.cli import app
from guardrails.cli.approvals_remote import _request_of
from guardrails.errors import StateUnavailable
from guardrails.model.lineage import RunTerms
from guardrails.server.documents import document_of


def cli(project, *args, code=0, token=None, server=None):
    variables = {"GUARDRAILS_TOKEN": token or project.tokens["lee"]}
    result = CliRunner().invoke(
        app, ["approvals", *args, "--server", server or project.url], env=variables
    )
    assert result.exit_code == code, result.output
    return result.output


def test_a_request_is_listed_shown_and_answered(project):
    request = project.ask(amount=1)
    assert request.id in {each["id"] for each in json.loads(cli(project, "list", "--json"))}
    assert "\\u001b" in cli(project, "show", request.id[:11])
    assert "approved by lee@acme.example" in cli(project, "approve", request.id[3:12])
    assert project.use(request).state == "consumed"
    cli(project, "approve", request.id, code=1)
    other = project.ask(amount=2)
    assert "rejected" in cli(project, "reject", other.id, "--reason", "who asked for this?")


def test_exit_codes(project):
    cli(project, "list", code=1, token="grt_wrong")
    cli(project, "list", code=3, server="http://127.0.0.1:1")
    for address in ("http://approvals.acme.example", "ftp://127.0.0.1", "https://a@b.example", "x"):
        cli(project, "list", code=2, server=address)


@pytest.mark.parametrize("answer", ['{"requests": 1e9999999999999999999}', "[" * 100_000, "NaN"])
def test_an_answer_that_cannot_be_read_is_out_of_reach(project, answer):
    class Garbling(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Garbling) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cli(project, "list", code=3, server=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_a_redirect_is_not_followed_with_the_token(project):
    came = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            came.append((self.path, self.headers.get("Authorization")))
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{server.server_port}/stolen")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        cli(project, "list", code=3, server=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert len(came) == 1
    assert "/stolen" not in came[0][0]


def test_the_runs_of_a_request_and_its_question_are_part_of_what_is_shown(project):
    request = replace(
        project.ask(amount=3),
        question="which order?",
        lineage=(RunTerms("r-1", "billing", "enforce", ("eu",), {"usd": 5}, {"usd": 2}),),
        origin="ap-000000000000",
    )
    document = json.loads(exact_json(document_of(request)))
    assert _request_of(document).digest == request.digest
    document["lineage"][0]["mode"] = "observe"
    with pytest.raises(StateUnavailable, match="not what its digest is of"):
        _request_of(document)


@pytest.mark.parametrize("path", ["args", "demands", "principal", "call_key"])
def test_what_is_shown_must_be_what_the_digest_is_of(project, path):
    document = document_of(project.ask(amount=3))
    assert _request_of(document).digest == document["digest"]
    document[path] = {"args": {"amount": 1}, "demands": [], "principal": "x", "call_key": "y"}[path]
    with pytest.raises(StateUnavailable):
        _request_of(document)
