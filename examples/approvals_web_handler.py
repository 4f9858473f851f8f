"""A web handler makes an approved call: POST /resume/ID answers with what the call gave, once.

The handler's process knows the tools (`tools=[…]`); the request says which of them, with which
arguments, in which run. What is not approved, or was made before, is a 409 and says why. Who may
POST here is not this example's business: put your framework's authentication in front of it.

    python examples/approvals_web_handler.py
"""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import guardrails as gr

HERE = Path(__file__).parent


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(approvers="finance-ops")
def release_payment(invoice: str, supplier: str) -> str:
    """Release a payment that was held back."""
    return f"released {invoice} to {supplier}"


class Handler(BaseHTTPRequestHandler):
    """POST /resume/ID."""

    governor: gr.Governor

    def do_POST(self) -> None:  # the base class wants it so
        """Make the call of one request."""
        _, what, request_id = (*self.path.split("/"), "", "")[:3]
        try:
            if what != "resume":
                raise gr.ConfigError(self.path)  # answered below
            status, text = 200, str(self.governor.resume_call(request_id))
        except gr.Refusal as refusal:
            status, text = 409, refusal.code
        except gr.GuardrailsError:  # no such request or tool
            status, text = 404, "not found"
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's
        """Say nothing."""


def main() -> None:
    """Play the agent, the browser, and finance-ops in between."""
    governor = Handler.governor = gr.load_governor(
        HERE / "guardrails.yaml", tools=[release_payment]
    )
    request_id = ""
    with governor.run("invoice-agent", id="holds-of-today"):
        try:
            release_payment("INV-2077", "Helvig")
        except gr.ApprovalPending as pending:
            request_id = pending.request_id
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def post(moment: str, path: str) -> None:
        browser = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        browser.request("POST", path)
        answer = browser.getresponse()
        print(f"{moment}: {answer.status} {answer.read().decode()}")
        browser.close()

    post("before anybody answered", f"/resume/{request_id}")
    governor.approvals.approve(request_id, by="kim.tan@acme.example", groups={"finance-ops"})
    post("approved", f"/resume/{request_id}")
    post("clicked twice", f"/resume/{request_id}")
    post("made up", "/resume/ap-000000000000")
    server.shutdown()
    server.server_close()
    governor.close()


if __name__ == "__main__":
    main()
