"""A bundle service's client that asks when a test says so, and what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from tests.opa.archives import SECRET, manifest, packed, policy_files

from guardrails.engines.probe import PROBE
from guardrails.errors import PolicyLoadError
from guardrails.opa.bundles.download import BundleSettings
from guardrails.opa.bundles.schedule import Polling
from guardrails.opa.bundles.service import BundleService
from guardrails.opa.keys import Verification, VerificationKey
from guardrails.opa.services import Service
from guardrails.testing import FakeClock

if TYPE_CHECKING:
    from tests.opa.bundle_server import BundleServer

    from guardrails.opa.bundle_set import BundleSet

FIRST = packed(policy_files("r1"))
SECOND = packed(policy_files("r2"))
KEY = Verification({"default": VerificationKey(SECRET, "HS256")})
HOUR = Polling(3600, 3600)


class Decider:
    """Takes sets of bundles, or refuses those with a revision that it was told."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.bad: set[str] = set()

    def __call__(self, bundles: BundleSet) -> None:
        if any(bad in bundles.revision for bad in self.bad):
            raise PolicyLoadError("does not plan", file="b:x.rego", row=3)
        self.taken.append(bundles.revision)


class Running:
    """A service's client that asks when a test says so."""

    def __init__(self, server: BundleServer, *settings: BundleSettings, **options: Any) -> None:
        self.clock = FakeClock()
        self.decider = Decider()
        given = settings or (settings_of(server),)
        self.service = BundleService(given, clock=self.clock, random=lambda: 0.5, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()

    def start(self) -> None:
        self.service.start(self.decider)

    def poll(self, name: str = "b") -> float:
        self.clock.advance(1)
        return self.service.poll(name)

    @property
    def status(self):
        return self.service.status()["b"]


def settings_of(server: BundleServer, **more: Any) -> BundleSettings:
    more.setdefault("polling", HOUR)
    service = more.pop("service", None) or Service("s", server.url, timeout=2)
    return BundleSettings(more.pop("name", "b"), service, **more)


def two(server: BundleServer, **more: Any) -> list[BundleSettings]:
    return [settings_of(server, name=name, **more) for name in ("p", "d")]


def policies(revision: str) -> bytes:
    files = policy_files(revision)
    del files["guardrails_data/data.json"]
    return packed({**files, ".manifest": manifest(revision, ["guardrails"])})


def data(revision: str, roots=("guardrails_data",)) -> bytes:
    return packed(
        {".manifest": manifest(revision, roots), "guardrails_data/data.json": b'{"trusted": []}'}
    )


def status(code: int, content: bytes = b"<html>", **headers: str):
    return lambda handler: handler.reply(code, content, headers)


def call(agent: str = "a") -> dict[str, Any]:
    """A call of an agent."""
    return {**PROBE, "agent": {**PROBE["agent"], "id": agent}}
