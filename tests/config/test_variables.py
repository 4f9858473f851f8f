"""Environment variables: they say where things are, never what is permitted, and never silently."""

from __future__ import annotations

import os

import pytest

from guardrails.config import FILE_NAME, Config
from guardrails.config.file import WRITTEN
from guardrails.config.variables import CHOICES, PLACES, variable_of
from guardrails.register.source import SourceError, field_names


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("GUARDRAILS_"):
            monkeypatch.delenv(name)
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")
    (tmp_path / FILE_NAME).write_text("environment: prod\n")
    return tmp_path


def load(project, text="environment: prod\n", **variables) -> Config:
    (project / FILE_NAME).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return Config.load(project / FILE_NAME)


def problem(project, text="environment: prod\n", **variables) -> str:
    with pytest.raises(SourceError) as caught:
        load(project, text, **variables)
    return str(caught.value)


def test_a_place_is_where_the_variable_says_and_that_is_told(project):
    text = "environment: prod\nsidecar: {url: 'unix:///a', deadline: 0.1}\n"
    config = load(
        project,
        text,
        GUARDRAILS_SIDECAR__URL="unix:///b",
        GUARDRAILS_SIDECAR__DEADLINE="0.5",
        GUARDRAILS_RECORD="/var/log/there.jsonl",
    )
    assert config.engine.sidecar.url == "unix:///b"
    assert config.engine.sidecar.deadline == 0.5
    assert str(config.record) == "/var/log/there.jsonl"
    assert [str(each) for each in config.settings] == [
        "record is `/var/log/there.jsonl` by GUARDRAILS_RECORD",
        "sidecar.url is `unix:///b` by GUARDRAILS_SIDECAR__URL, not `unix:///a`",
        "sidecar.deadline is `0.5` by GUARDRAILS_SIDECAR__DEADLINE, not `0.1`",
    ]


def test_a_section_can_come_from_variables_alone(project):
    config = load(
        project,
        GUARDRAILS_ENGINE="sidecar",
        GUARDRAILS_SIDECAR__URL="unix:///run/opa.sock",
    )
    assert config.engine.name == "sidecar"
    assert config.engine.sidecar.url == "unix:///run/opa.sock"


def test_what_the_file_leaves_open_a_variable_may_choose(project):
    assert load(project, "agents: agents.yaml\n", GUARDRAILS_ENVIRONMENT="dev").environment == "dev"
    assert load(project, GUARDRAILS_ENVIRONMENT="prod").environment == "prod"


def test_what_the_file_says_a_variable_does_not_loosen(project):
    said = problem(project, GUARDRAILS_ENVIRONMENT="dev")
    assert said.startswith(
        "GUARDRAILS_ENVIRONMENT: environment: is `dev`, and the file says `prod`"
    )
    text = "environment: prod\nengine: verified\nsidecar: {url: 'unix:///a'}\n"
    assert "the file says `verified`" in problem(project, text, GUARDRAILS_ENGINE="in_process")
    for key in ("record", "state"):
        text = f"environment: prod\n{key}: here\n"
        said = problem(project, text, **{f"GUARDRAILS_{key.upper()}": "/elsewhere"})
        assert "the file says `here`" in said


@pytest.mark.parametrize(
    "key", sorted(set(field_names(WRITTEN)) - {p[0] for p in (*PLACES, *CHOICES)})
)
def test_what_is_permitted_stands_in_the_file_alone(project, key):
    said = problem(project, **{f"GUARDRAILS_{key.upper()}": "true"})
    assert said.startswith(f"GUARDRAILS_{key.upper()}: {key}: cannot be set by a variable")


@pytest.mark.parametrize(
    "name", ["SIDECAR__ON_UNAVAILABLE", "VERIFIED__SHARE", "LIMITS__DEPTH", "SIDECAR", "MODES__0"]
)
def test_nor_can_a_part_of_it_be_set(project, name):
    said = problem(project, **{f"GUARDRAILS_{name}": "in_process"})
    assert said.startswith(f"GUARDRAILS_{name}: ")
    assert "cannot be set by a variable" in said


def test_a_wrong_value_names_its_variable(project):
    for name, value, expected in (
        ("SIDECAR__URL", "ftp://x", "sidecar.url: `ftp://x` is no address"),
        ("SIDECAR__DEADLINE", "soon", "sidecar.deadline: a number of seconds"),
        ("SIDECAR__DEADLINE", "1e3", "sidecar.deadline: YAML readers disagree"),
        ("OPA", "/absent", "opa: `/absent` is no file"),
        ("BUNDLE", "/absent", "bundle: `/absent` does not exist"),
    ):
        said = problem(
            project,
            "environment: prod\nsidecar: {url: 'unix:///a'}\n",
            **{f"GUARDRAILS_{name}": value},
        )
        assert said.startswith(f"GUARDRAILS_{name}: {expected}"), said
        assert ":0:0:" not in said
    wrong = problem(project, "agents: agents.yaml\n", GUARDRAILS_ENVIRONMENT="Prod")
    assert wrong.startswith("GUARDRAILS_ENVIRONMENT: environment: an environment's name")


def test_problems_of_file_and_variables_come_together(project):
    said = problem(
        project, "environment: prod\nsidecar: {url: 'unix:///a', token: x}\n", GUARDRAILS_OPA="/a"
    )
    assert "sidecar.token: unknown key" in said


def test_a_nested_name_that_is_none_is_an_error_and_any_other_a_warning(project):
    said = problem(project, GUARDRAILS_SIDECA__URL="unix:///b")
    assert "is no setting (did you mean `GUARDRAILS_SIDECAR__URL`?)" in said
    assert "GUARDRAILS_SIDECAR__ULR" in problem(project, GUARDRAILS_SIDECAR__ULR="unix:///b")
    config = load(project, GUARDRAILS_ENVIROMENT="dev", GUARDRAILS_API_KEY="x")
    assert config.environment == "prod"
    assert len(config.warnings) == 2
    assert "did you mean `GUARDRAILS_ENVIRONMENT`?" in config.warnings[0]


def test_what_kubernetes_sets_for_a_service_of_that_name_is_no_setting(project):
    config = load(
        project,
        GUARDRAILS_SERVICE_HOST="10.0.0.1",
        GUARDRAILS_SERVICE_PORT="8181",
        GUARDRAILS_SERVICE_PORT_HTTP="8181",
        GUARDRAILS_PORT="tcp://10.0.0.1:8181",
        GUARDRAILS_PORT_8181_TCP_ADDR="10.0.0.1",
        GUARDRAILS_OPA_PORT_8181_TCP="tcp://10.0.0.1:8181",
        GUARDRAILS_OPA_SERVICE_HOST="10.0.0.1",
    )
    assert (config.warnings, config.settings) == ((), ())


def test_an_empty_variable_is_not_set(project):
    config = load(project, GUARDRAILS_RECORD="", GUARDRAILS_MODES="", GUARDRAILS_X__Y="")
    assert (config.settings, config.warnings) == ((), ())


def test_every_key_that_can_be_set_is_a_key_of_the_file(project):
    fields = WRITTEN.model_fields
    for path in (*PLACES, *CHOICES):
        assert path[0] in fields
        assert variable_of(path) == "GUARDRAILS_" + "__".join(map(str, path)).upper()
    assert not {("modes",), ("policies",), ("agents",), ("library",)} & {*PLACES, *CHOICES}
