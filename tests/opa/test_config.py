"""OPA's configuration file means here what it means in OPA; what it does not, is told of."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.opa.archives import SECRET

from guardrails.opa.config import OpaConfig
from guardrails.opa.environment import substitute
from guardrails.register.source import SourceError

FULL = """\
services:
  acme:
    url: https://bundles.example/control/
    headers:
      X-Team: payments
    credentials:
      bearer:
        token: ${TOKEN}
    response_header_timeout_seconds: 5
labels:
  region: ${REGION}
bundles:
  policies:
    service: acme
    resource: b/policies.tar.gz
    persist: true
    polling:
      min_delay_seconds: 10
      max_delay_seconds: 20
      long_polling_timeout_seconds: 30
    signing:
      keyid: global
      scope: write
    size_limit_bytes: 1000
  data:
    service: acme
  local:
    resource: file:///var/lib/my%20bundle.tar.gz
  gone: null
keys:
  global:
    algorithm: HS256
    key: ${SECRET}
  other:
    private_key: whatever
persistence_directory: /var/opa
"""
ENVIRONMENT = {"TOKEN": "s3cret-token", "REGION": "eu", "SECRET": SECRET}


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> OpaConfig:
    (tmp_path / "opa.yaml").write_text(text)
    return OpaConfig.load(
        tmp_path / "opa.yaml", ENVIRONMENT if environment is None else environment
    )


def wrong(tmp_path: Path, text: str) -> list[str]:
    """The problems of a file, each from its line on."""
    with pytest.raises(SourceError) as caught:
        load(tmp_path, text)
    for secret in ENVIRONMENT.values():
        assert secret not in str(caught.value) or secret == "eu"
    return [str(each).removeprefix(f"{tmp_path}/opa.yaml:") for each in caught.value.problems]


def test_all_that_is_supported(tmp_path) -> None:
    config = load(tmp_path, FULL)
    policies, data, local = config.bundles
    service = config.services["acme"]
    assert (service.token, service.headers, service.timeout) == (
        "s3cret-token",
        {"X-Team": "payments"},
        5.0,
    )
    assert (policies.path, data.path) == ("b/policies.tar.gz", "bundles/data")
    assert local.file == Path("/var/lib/my bundle.tar.gz")
    assert policies.persist
    assert (policies.polling.min_delay, policies.polling.max_delay) == (10, 20)
    assert policies.polling.long_poll == 30
    assert (data.polling.min_delay, data.polling.max_delay, data.polling.long_poll) == (
        60,
        120,
        None,
    )
    assert policies.verification is not None
    assert (policies.verification.keyid, policies.verification.scope) == ("global", "write")
    assert data.verification is not None
    assert data.verification.keys.keys() == {"global"}
    assert policies.limits.file == 1000
    assert config.labels == {"region": "eu"}
    assert config.persistence_directory == Path("/var/opa")
    (labels,) = config.findings
    assert str(labels).startswith(f"{tmp_path}/opa.yaml:10:1: labels: is not used")
    assert "s3cret" not in repr(config)


def test_it_may_be_json_and_services_a_list(tmp_path) -> None:
    written = {
        "services": [{"name": "a", "url": "http://127.0.0.1:1"}],
        "bundles": {"b": {}},
    }
    config = load(tmp_path, json.dumps(written, indent="\t"))
    assert config.bundles[0].service is config.services["a"]


def test_what_means_nothing_here_is_told_of_with_its_line(tmp_path) -> None:
    text = (
        "services:\n  a:\n    url: http://a.example\n    zzz: 1\n    headers: {X: x}\n"
        "    credentials:\n      oauth2: {}\n"
        "default_decision: x\nbundle: {}\nplugins: {x: {}}\nwhatever: {}\n"
        "discovery: {}\nserver: {}\nlabels:\n  x: ${NOT_SET}\ncaching: null\n"
    )
    told = [
        str(each).removeprefix(f"{tmp_path}/opa.yaml:") for each in load(tmp_path, text).findings
    ]
    assert [line.split(" ")[0] + " " + line.split(" ")[1] for line in told] == [
        "3:5: services.a.url:",
        "4:5: services.a.zzz:",
        "7:7: services.a.credentials.oauth2:",
        "8:1: default_decision:",
        "9:1: bundle:",
        "10:1: plugins:",
        "11:1: whatever:",
        "12:1: discovery:",
        "13:1: server:",
        "14:1: labels:",
        "15:1: the",
    ]
    assert "known are `services`, `labels`" in told[6]
    assert "`NOT_SET` is not set" in told[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "1:1: is no mapping"),
        ("services: 1\n", "1:11: services: is no mapping but `1`"),
        ("services:\n  a: {}\n", "2:6: services.a.url: is missing"),
        ("services:\n  a: {url: 1}\n", "2:12: services.a.url: should be a valid string, not `1`"),
        ("services:\n  a: {url: ftp://x}\n", "2:6: services.a: the service `a` needs an `http://`"),
        ("services:\n  a: {url: http://u:p@x}\n", "may hold no user"),
        ("services:\n  - url: http://x\n", "2:5: services[0]: needs a `name`"),
        ("bundles:\n  b: {service: a}\n", "2:16: bundles.b.service: there is no service `a`"),
        ("bundles:\n  b: {}\n", "2:6: bundles.b.service: names no service; there are none"),
        ("bundles:\n  b: 1\n", "2:6: bundles.b: is no mapping but `1`"),
        ("bundles:\n  b: {persist: 'yes'}\n", "2:16: bundles.b.persist: should be a valid bool"),
        ("labels:\n  a: 1\n", "2:6: labels.a: is no text but `1`"),
        ("keys:\n  k: {}\n", "2:6: keys.k: has neither"),
        ("keys:\n  k: {key: short, algorithm: HS256}\n", "2:6: keys.k: the key `k` is no secret"),
        ("keys:\n  k: {key: ${SECRET}, algorithm: X}\n", "unknown algorithm"),
        ("keys:\n  k: {key: 123456789}\n", "2:12: keys.k.key: should be a valid string"),
        ("persistence_directory: 1\n", "1:24: persistence_directory: is no text"),
        ("bundels:\n  b: {}\n", "1:1: bundels: is not known (did you mean `bundles`?)"),
        (
            "bundles:\n  b: {resource: 'file:///x', signin: {}}\n",
            "2:30: bundles.b.signin: is not known (did you mean `signing`?)",
        ),
        ("a: yes\n", "1:4: a: YAML readers disagree"),
        ("a: 1\na: 2\n", "2:1: a: is given twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text, said, tmp_path) -> None:
    assert any(said in line for line in wrong(tmp_path, text)), wrong(tmp_path, text)


BASE = "services:\n  a:\n    url: https://a.example\n%sbundles:\n  b:\n%s    service: a\n"


@pytest.mark.parametrize(
    ("service", "bundle", "said"),
    [
        ("    allow_insecure_tls: true\n", "", "4:25: services.a.allow_insecure_tls: is refused"),
        ("    credentials: {oauth2: {}}\n", "", "services.a.credentials.oauth2: `oauth2` is not"),
        ("    type: oci\n", "", "4:11: services.a.type: the type `oci` is not supported"),
        (
            "    credentials: {bearer: {token: a}, client_tls: {cert: a, private_key: b}}\n",
            "",
            "several credentials",
        ),
        (
            "    credentials: {bearer: {token: 1234567}}\n",
            "",
            "credentials.bearer.token: should be",
        ),
        ("    credentials: {bearer: {token: a, token_path: b}}\n", "", "give one of them"),
        ("", "    polling: {min_delay_seconds: 5}\n", "`max_delay_seconds` is missing"),
        ("", "    polling: {min_delay_seconds: 5, max_delay_seconds: 4}\n", "not above the second"),
        ("", "    polling: {long_polling_timeout_seconds: 0}\n", "greater than or equal to 1"),
        ("", "    signing: {keyid: x}\n", "there is no key to verify"),
    ],
)
def test_a_service_that_bundles_come_from_must_be_usable_as_it_is_meant(
    service, bundle, said, tmp_path
) -> None:
    found = wrong(tmp_path, BASE % (service, bundle))
    assert any(said in line for line in found), found
    assert not any("1234567" in line for line in found)


def test_lines_are_those_of_the_file_also_behind_a_value_of_many(tmp_path) -> None:
    text = "labels:\n  a: 'x${MANY}y'\n  b: 1\nbundles: 1\n"
    (tmp_path / "opa.yaml").write_text(text)
    with pytest.raises(SourceError) as caught:
        OpaConfig.load(tmp_path / "opa.yaml", {"MANY": "\n\n\n   "})
    assert [each.line for each in caught.value.problems] == [3, 4]


NAMES = st.sampled_from(["A", "B", "", "C D", "{"])
PIECES = st.lists(
    st.one_of(
        st.sampled_from(["x", "\n", "$", "{", "}", "${", "$}", "${}"]),
        NAMES.map(lambda name: f"${{{name}}}"),
    ),
    max_size=12,
).map("".join)
VARIABLES = st.dictionaries(
    NAMES, st.sampled_from(["", "v", "${A}", "1\n2", "\n", "\n\n\n"]), max_size=4
)


@given(PIECES, VARIABLES)
def test_variables_are_replaced_once_and_lines_are_counted(text, variables) -> None:
    found = substitute(text, variables)

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1], match[0]) if match[1] else ""

    assert found.text == re.sub(r"\$\{(.*?)\}", value, text)
    # A marker in front of each line of the file: where it lands is where the line begins.
    marked = "\n".join(f"@{n}@{line}" for n, line in enumerate(text.split("\n"), 1))
    for number, line in enumerate(substitute(marked, variables).text.split("\n"), 1):
        for mark in re.findall(r"@(\d+)@", line):
            assert found.written_line(number) == int(mark)
    for name, at in found.unset:
        assert f"${{{name}}}" in text.split("\n")[at - 1]


@pytest.mark.opa
def test_variables_are_replaced_as_opa_replaces_them(opa, tmp_path) -> None:
    text = (
        "labels:\n  a: ${SET}\n  b: x${SET}y${SET}\n  c: ${UNSET}\n  d: x${EMPTY}\n  e: 'x${}'\n"
        "  f: ${REC}\n  g: '$SET {SET} ${ SET }'\n  h: '${SET'\n  i: |\n    ${LINES}\n"
    )
    environment = {"SET": "v", "EMPTY": "", "REC": "${SET}", "LINES": "one\n    two"}
    config = load(tmp_path, text, environment)
    assert _opas_config(opa, tmp_path, environment)["labels"].items() >= config.labels.items()
    assert config.labels["b"] == "xvyv"
    assert config.labels["i"] == "one\ntwo\n"


def _opas_config(opa: str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """The configuration as an OPA server tells it."""
    path = folder / "s"
    command = [opa, "run", "--server", "--addr", f"unix://{path}", "--config-file", "opa.yaml"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--disable-telemetry"],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        until = time.monotonic() + 30
        while True:
            connection = http.client.HTTPConnection("localhost", timeout=10)
            connection.sock = socket.socket(socket.AF_UNIX)
            try:
                connection.sock.connect(str(path))
                connection.request("GET", "/v1/config")
                return json.loads(connection.getresponse().read())["result"]
            except OSError:
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.01)
            finally:
                connection.close()
    finally:
        process.terminate()
        process.wait(30)


SENDS = "services:\n  logs: {url: 'https://logs.example', headers: {X: x}}\n"


def test_decision_logs_and_status_are_read_as_opa_reads_them(tmp_path) -> None:
    text = SENDS + (
        "labels: {region: eu}\n"
        "decision_logs:\n  partition_name: p\n  console: true\n  service: logs\n"
        "  mask_decision: /system/log/hide\n  reporting:\n    min_delay_seconds: 5\n"
        "    max_delay_seconds: 9\n    upload_size_limit_bytes: 2048\n"
        "status: {service: logs, console: true}\n"
    )
    config = load(tmp_path, text)
    logs = config.decision_logs
    assert logs is not None
    assert logs.service is not None
    assert (logs.service.name, logs.resource) == ("logs", "/logs/p")
    assert (logs.polling.min_delay, logs.polling.max_delay) == (5, 9)
    assert (logs.size, logs.mask, logs.console) == (2048, "system/log/hide", True)
    assert config.status is not None
    assert (config.status.resource, config.status.console) == ("/status", True)
    assert config.findings == ()


def test_decision_logs_go_to_the_only_service_unless_they_are_logged_alone(tmp_path) -> None:
    config = load(tmp_path, SENDS + "decision_logs: {}\nstatus: {console: true}\n")
    assert config.decision_logs is not None
    assert config.decision_logs.service is config.services["logs"]
    assert (config.decision_logs.polling.min_delay, config.decision_logs.size) == (300, 32_768)
    assert config.status is not None
    assert config.status.service is None


def test_options_of_opas_buffers_are_told_of(tmp_path) -> None:
    text = SENDS + (
        "decision_logs:\n  drop_decision: /system/log/drop\n  nd_builtin_cache: true\n"
        "  reporting: {buffer_type: event, max_decisions_per_second: 5}\n"
    )
    told = [str(each).split("opa.yaml:")[1] for each in load(tmp_path, text).findings]
    assert [each.split(" ")[1] for each in told] == [
        "decision_logs.drop_decision:",
        "decision_logs.nd_builtin_cache:",
        "decision_logs.reporting.buffer_type:",
        "decision_logs.reporting.max_decisions_per_second:",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decision_logs: {service: lags}\n", "3:26: decision_logs.service: there is no service"),
        ("decision_logs: {consol: true}\n", "3:17: decision_logs.consol: is not known"),
        ("decision_logs: {mask_decision: system.log.mask}\n", "is a path with slashes"),
        ("decision_logs: {reporting: {min_delay_seconds: 5}}\n", "`max_delay_seconds` is missing"),
        ("  more: {url: 'http://a'}\nstatus: {}\n", "names no service; there are `logs`, `more`"),
        (
            "  bad: {url: 'https://a', allow_insecure_tls: true}\nstatus: {service: bad}\n",
            "read decisions; name the CA",
        ),
    ],
)
def test_decisions_never_go_where_nobody_meant(tmp_path, text, said) -> None:
    with pytest.raises(SourceError, match=re.escape(said)):
        load(tmp_path, SENDS + text)


def test_decisions_in_the_clear_are_told_of(tmp_path) -> None:
    text = "services: {a: {url: 'http://logs.example'}}\ndecision_logs: {}\n"
    (told,) = load(tmp_path, text).findings
    assert "`http`" in str(told)
