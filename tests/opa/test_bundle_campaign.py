"""Threads decide without a pause while broken bundles of every kind arrive.

No decision is lost, each names a good revision, and is what that revision says.
"""

from __future__ import annotations

import os
import random
import tarfile
import threading

import pytest
from tests.opa.archives import (
    DECISION,
    gzipped,
    member,
    packed,
    policy_files,
    signed,
    tar_of,
    tar_with,
)
from tests.opa.running import KEY, call, settings_of

from guardrails.engines.bundled import start_bundled_engine
from guardrails.opa.bundles.service import BundleService
from guardrails.rego.archive import ArchiveLimits

THREADS = 2
SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
LONG = {
    "an unsafe variable",
    "recursion",
    "data over the decision",
    "a decision that is a number",
    "no effect",
    "outside",
}
"""Some that have to be planned to be refused; those that are like them are in the sample."""

LIMITS = ArchiveLimits(archive=1 << 16, file=1 << 14, total=1 << 15, files=50)


def with_source(source: str, **more: bytes) -> dict[str, bytes]:
    """A signed bundle with another policy in it."""
    return signed({**policy_files("bad"), "guardrails/main.rego": source.encode(), **more})


def flipped(content: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1 << bit
    return bytes(changed)


GOOD = signed(policy_files("good-1"))
BAD = signed(policy_files("bad"))
RULE = "package guardrails\n\nimport rego.v1\n\n"


def bad_bundles() -> dict[str, bytes]:
    """A bundle of every kind that must be refused."""
    content = packed(BAD)
    chosen = random.Random(20)
    found = {
        **{f"cut at {end}": content[:end] for end in range(0, len(content), 1 if SOAK else 41)},
        "not signed": packed(policy_files("bad")),
        "another secret": packed(signed(policy_files("bad"), secret="z" * 20)),
        "another scope": packed(signed(policy_files("bad"), scope="x")),
        "changed": packed({**BAD, "guardrails_data/data.json": b'{"trusted": ["b"]}'}),
        "more": packed({**BAD, "guardrails/more.rego": b"package guardrails.more"}),
        "traversing": gzipped(tar_with(member("../x.rego", size=3), content=b"abc")),
        "linked": gzipped(
            tar_with(member("guardrails/main.rego", tarfile.SYMTYPE, linkname="/etc/passwd"))
        ),
        "a device": gzipped(tar_with(member("data.json", tarfile.CHRTYPE))),
        "twice": gzipped(
            tar_with(member("a.rego", size=1), member("/a.rego", size=1), content=b"x")
        ),
        "large": packed({**BAD, "x.txt": bytes(1 << 15)}),
        "a bomb": gzipped(bytes(1 << 24)),
        "many": packed({f"{n}.txt": b"" for n in range(60)}),
        "two parts": content + content,
        "a page": b"<html>",
        "a tar": tar_of(BAD),
        "no decision": packed(with_source(RULE + "other := 1\n")),
        "an undefined decision": packed(with_source(RULE + 'decision := 1 if input.no == "x"\n')),
        "no effect": packed(with_source(RULE + 'decision := {"effect": "maybe"}\n')),
        "a decision that is a number": packed(with_source(RULE + "decision := 1\n")),
        "no Rego": packed(with_source("package guardrails\n\ndecision := {\n")),
        "an unsafe variable": packed(with_source(RULE + "decision := inpt.x\n")),
        "recursion": packed(with_source(RULE + "decision := decision\n")),
        "data over the decision": packed(
            with_source(DECISION % "bad", **{"guardrails/data.json": b'{"decision": 1}'})
        ),
        "outside": packed(with_source(RULE, **{"x/data.json": b"1"})),
        "a rule that nobody hears": packed(
            with_source(
                DECISION % "bad",
                **{
                    "guardrails/x.rego": b"package guardrails.rules.x\n\nimport rego.v1\n\n"
                    b'denny contains "a" if input.b\n'
                },
            )
        ),
        "a plan that is none": packed(signed({**policy_files("bad"), "plan.json": b"{}"})),
        "changes": packed(
            {"patch.json": b'{"data": [{"op": "remove", "path": "guardrails_data"}]}'}
        ),
        "nothing": gzipped(bytes(1024)),
    }
    for name in () if SOAK else LONG:
        del found[name]
    for number in range(400 if SOAK else 40):
        at, bit = chosen.randrange(10, len(content)), chosen.randrange(8)
        found[f"flipped {number}"] = flipped(content, at, bit)
    return found


SAID = {
    "changed": "`guardrails_data/data.json` is not the one that was signed",
    "traversing": "leads elsewhere",
    "linked": "a symbolic link",
    "no decision": "names no rule",
    "an undefined decision": "is undefined for a plain call",
    "no effect": "gives no decision",
    "no Rego": "b:guardrails/main.rego:3",
    "a rule that nobody hears": "did you mean `deny`",
    "a bomb": "larger than",
}
"""What the status says of some of them."""


@pytest.mark.soak
def test_no_bad_bundle_replaces_a_good_one_under_load(server) -> None:
    settings = settings_of(server, verification=KEY, limits=LIMITS)
    server.serve("/bundles/b", packed(GOOD))
    service = BundleService([settings], random=lambda: 0.5)
    engine = start_bundled_engine(service, dict, cache=None)
    first = engine.revision
    assert first.startswith("b=good-1 sha256:")
    stop, lost = threading.Event(), []
    seen: list[set[tuple[str, str, str]]] = [set() for _ in range(THREADS)]
    counts = [0] * THREADS

    def decide(number: int) -> None:
        while not stop.wait(0.001):
            try:
                for agent in ("a", "b"):
                    found = engine.decide(call(agent), "d")
                    said = found.reasons[0].reason if found.reasons else ""
                    seen[number].add((found.revision, agent, said or found.effect.value))
                    counts[number] += 1
            except Exception as error:  # noqa: BLE001  # any is a lost decision
                lost.append(error)

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    refused = {}
    try:
        for name, content in bad_bundles().items():
            server.serve("/bundles/b", content)
            service.poll("b")
            status = service.status()["b"]
            if status.active_revision != "good-1" or status.code != "bundle_error":
                refused[name] = status
            assert SAID.get(name, "") in status.message, name
            assert engine.revision == first, name
        server.serve("/bundles/b", packed(signed(policy_files("good-2"))))
        service.poll("b")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        service.stop()
    assert refused == {}
    assert lost == []
    assert min(counts) > 20
    second = engine.revision
    assert service.status()["b"].code == ""
    assert second.startswith("b=good-2 sha256:")
    assert set().union(*seen) <= {
        (revision, agent, word)
        for revision, edition in ((first, "good-1"), (second, "good-2"))
        for agent, word in (("a", "allow"), ("b", edition))
    }
