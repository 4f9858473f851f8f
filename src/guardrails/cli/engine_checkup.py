"""The examinations of ``guardrails doctor`` that are about what decides."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from guardrails.cli.engine_facts import engine_facts, short
from guardrails.cli.finding import Finding, Status
from guardrails.cli.moments import ago
from guardrails.cli.policy_sources import nearby
from guardrails.decider import opa_config_of
from guardrails.errors import ConfigError
from guardrails.opa.version import objection
from guardrails.opa_reports import SENT
from guardrails.register.review import PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.cli.engine_facts import EngineFacts
    from guardrails.config import Config
    from guardrails.engines.sidecar import SidecarStatus
    from guardrails.opa.logs.settings import LogSettings

_LATE: Final = 60.0
"""Seconds by which sending may be late, besides what its configuration allows."""

_SHOWN: Final = 3
"""Findings about OPA's file that are spelled out."""


def engine_findings(config: Config) -> Iterator[Finding]:
    """Every finding about what decides by this configuration; policies are loaded, OPA is asked."""
    try:
        yield from _opa_config(config)
        began = time.perf_counter()
        facts = engine_facts(config, load=True)
    except ConfigError as error:
        for line in str(error).splitlines():
            yield Finding("engine", Status.FAIL, line, "correct it")
        return
    milliseconds = (time.perf_counter() - began) * 1000
    yield Finding("engine", Status.OK, f"{facts.engine}; {_reload(config, facts)}")
    if config.engine.reload is not None and config.environment in PRODUCTION:
        yield Finding(
            "reload",
            Status.WARN,
            "policies are read again as soon as a file changes",
            "take `reload` out in production; a bundle is swapped as a whole",
        )
    if facts.policies:
        yield _policies(config, facts, milliseconds)
    if facts.interpreted is not None:
        yield Finding(
            "compiled",
            Status.WARN,
            f"the policies are interpreted, which takes longer: {facts.interpreted}",
            "decisions are the same; docs/rego.md says what has no compiled form",
        )
    yield from _bundles(facts)
    yield from _sidecar(config, facts)
    if facts.record_problem is not None:
        yield Finding("divergences", Status.WARN, facts.diverged, "see the finding of the record")
    elif facts.divergences:
        yield Finding(
            "divergences",
            Status.WARN if facts.has_diverged else Status.OK,
            facts.diverged,
            "read the events of kind `divergence` in the record: docs/engines.md"
            if facts.has_diverged
            else "",
        )


def _reload(config: Config, facts: EngineFacts) -> str:
    """When policies of this process are read."""
    seconds = config.engine.reload
    if not config.engine.decides_here:
        return "no policies are read here"
    if facts.is_bundled:
        return "bundles are asked for as their `polling` says"
    return (
        "policies are read once" if seconds is None else f"files are looked at every {seconds:g} s"
    )


def _opa_config(config: Config) -> Iterator[Finding]:
    opa = opa_config_of(config)
    if opa is None:
        return
    yield Finding("opa_config", Status.OK, f"{nearby(config.file.parent / opa.file)}")
    for finding in opa.findings[:_SHOWN]:
        yield Finding("opa_config", Status.WARN, str(finding), "it has no effect here")
    more = len(opa.findings) - _SHOWN
    if more > 0:
        yield Finding("opa_config", Status.WARN, f"and {more} more", "they have no effect here")
    if opa.decision_logs is not None and opa.decision_logs.service is not None:
        yield _decision_logs(config, opa.decision_logs, opa.decision_logs.service.name)


def _decision_logs(config: Config, settings: LogSettings, service: str) -> Finding:
    """Where decisions are sent, and whether they are."""
    plan = config.record
    if not config.engine.decides_here:
        return Finding("decision_logs", Status.OK, f"OPA sends its own to `{service}`")
    if plan is None or plan.is_plain:
        return Finding(
            "decision_logs",
            Status.FAIL,
            "they are read from the record, which is no directory of segments",
            "let `record` name a directory",
        )
    written = max((each.stat().st_mtime_ns for each in plan.path.glob("*-*.jsonl")), default=None)
    cursor = plan.path.with_name(plan.path.name + SENT)
    sent = cursor.stat().st_mtime_ns if cursor.exists() else None
    said = f"to `{service}`, " + ("none yet" if sent is None else f"the last {ago(sent)} ago")
    late = int((settings.polling.max_delay + _LATE) * 1e9)
    if written is not None and written - (sent or 0) > 0 and time.time_ns() - written > late:
        return Finding(
            "decision_logs",
            Status.WARN,
            f"{said}; what was written {ago(written)} ago was not sent",
            "see the log for why, or send it: `guardrails audit ship`",
        )
    return Finding("decision_logs", Status.OK, said)


def _policies(config: Config, facts: EngineFacts, milliseconds: float) -> Finding:
    if facts.problem is not None:
        # A service that is out of reach is told of by its bundle.
        mend = "see `guardrails policy check`" if not facts.bundles else "see the bundles below"
        return Finding("policies", Status.FAIL, facts.problem, mend)
    age = "" if facts.changed_ns is None else f", changed {ago(facts.changed_ns)} ago"
    return Finding(
        "policies",
        Status.OK,
        f"{facts.policies}: {facts.modules} modules, revision {short(facts.revision or '')},"
        f" planned by {config.planner}, loaded in {milliseconds:.0f} ms{age}",
    )


def _bundles(facts: EngineFacts) -> Iterator[Finding]:
    for bundle in facts.bundles:
        name = f"bundle {bundle.name}"
        kept = (facts.kept_ns or {}).get(bundle.name)
        on_disk = "none is kept on disk" if kept is None else f"one was kept {ago(kept)} ago"
        if bundle.is_active:
            yield Finding(name, Status.OK, f"revision {bundle.active_revision or '?'}; {on_disk}")
        else:
            yield Finding(
                name,
                Status.FAIL,
                f"{bundle.message or 'it is not active'}; {on_disk}",
                "reach its service, or mend the bundle: `guardrails bundle verify`",
                out_of_reach=bundle.last_successful_request is None,
            )


def _sidecar(config: Config, facts: EngineFacts) -> Iterator[Finding]:
    if facts.sidecar_problem is not None:
        yield Finding("sidecar", Status.FAIL, facts.sidecar_problem, "correct `sidecar`")
        return
    if facts.sidecar is None:
        return
    is_used = facts.engine != "in_process"
    found = _reach(facts.sidecar, is_used=is_used)
    if found.status is Status.OK and facts.sidecar_undecided is not None:
        bad = Status.FAIL if is_used else Status.WARN
        said = f"{facts.sidecar.address}: {facts.sidecar_undecided}"
        mend = "load policies there, as a bundle or with `guardrails policy push`"
        found = Finding("sidecar", bad, said, mend)
    yield found
    if facts.engine == "verified" and config.engine.share == 0:
        yield Finding(
            "verified", Status.WARN, "the share is 0: nothing is checked", "raise `verified.share`"
        )
    if facts.engine != "in_process" and facts.comparable is False:
        yield Finding(
            "comparable",
            Status.WARN,
            f"this process has revision {short(facts.revision or '')},"
            f" OPA {short(facts.sidecar.revision)}: " + _apart(facts),
            "load the same bundle in both",
        )
    loads = facts.problem is None
    yield Finding(
        "without OPA",
        Status.OK if loads else Status.FAIL,
        facts.without_sidecar,
        "" if loads else "see `policies`",
    )
    if config.engine.sidecar is not None and facts.sidecar.address.startswith("http://"):
        host = facts.sidecar.address.removeprefix("http://")
        if not host.startswith(("localhost", "127.", "[::1]")):
            yield Finding(
                "sidecar",
                Status.WARN,
                f"decisions of {facts.sidecar.address} come in the clear: whoever is on the way can"
                " forge them",
                "take `https://`, or a Unix socket",
            )


def _apart(facts: EngineFacts) -> str:
    """What it means that both decide by revisions that are not the same."""
    if facts.engine == "verified":
        return "nothing is checked"
    return "calls are decided otherwise while OPA is out of reach"


def _reach(sidecar: SidecarStatus, *, is_used: bool) -> Finding:
    bad = Status.FAIL if is_used else Status.WARN
    unused = "" if is_used else "; the engine `in_process` does not ask it"
    if sidecar.opa_version is None:
        return Finding(
            "sidecar",
            bad,
            f"{sidecar.address}: {sidecar.last_error or 'no answer'}{unused}",
            "start OPA there, or correct `sidecar: {url: …}`",
            out_of_reach=True,
        )
    why = objection(sidecar.opa_version)
    if why is not None:
        return Finding("sidecar", bad, f"{sidecar.address}: {why}{unused}", "take a newer OPA")
    return Finding(
        "sidecar",
        Status.OK,
        f"{sidecar.address}: OPA {sidecar.opa_version}, revision {sidecar.revision}{unused}",
    )


__all__ = ["engine_findings"]
