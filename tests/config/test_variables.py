"""Environment variables: they say where things are, never what is permitted, and never silently."""

from __future__ import annotations

import os

import pytest

from guardrails.config import FILE_NAME, Config
from guardrails.config.file import WRITTEN
from guardrails.config.variables import OTHERS, SETTABLE, STATEMENTS, variable_of
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
    assert str(config.record.path) == "/var/log/there.jsonl"
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
    "key",
    sorted(
        key
        for key in set(field_names(WRITTEN)) - {path[0] for path in SETTABLE}
        if variable_of((key,)) not in OTHERS  # GUARDRAILS_SERVER is a server to ask, no section
    ),
)
def test_what_is_permitted_stands_in_the_file_alone(project, key):
    said = problem(project, **{f"GUARDRAILS_{key.upper()}": "true"})
    assert said.startswith(f"GUARDRAILS_{key.upper()}: {key}: cannot be set by a variable")


@pytest.mark.parametrize(
    "name",
    [
        "SIDECAR__ON_UNAVAILABLE",
        "SIDECAR__TOKEN_ENV",
        "VERIFIED__SHARE",
        "LIMITS__DEPTH",
        "SIDECAR",
        "MODES__0",
    ],
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
        beside = "library: false\n" if name == "BUNDLE" else ""
        said = problem(
            project,
            f"environment: prod\nsidecar: {{url: 'unix:///a'}}\n{beside}",
            **{f"GUARDRAILS_{name}": value},
        )
        assert said.startswith(f"GUARDRAILS_{name}: {expected}"), said
        assert ":0:0:" not in said
    wrong = problem(project, "agents: agents.yaml\n", GUARDRAILS_ENVIRONMENT="Prod")
    assert wrong.startswith("GUARDRAILS_ENVIRONMENT: environment: an environment's name")


PLAIN = "http://evil.example:80"
EVERY_STATEMENT = {
    "engine": "in_process",
    "bundle": "null",
    "opa_config": "null",
    "library": "true",
    "presets": "[read_only]",
    "policies": "[pol]",
}


def test_the_policies_of_the_file_are_not_exchanged_for_a_remote_server(project):
    (project / "pol").mkdir()
    said = problem(
        project,
        "environment: prod\npolicies: [pol]\n",
        GUARDRAILS_ENGINE="sidecar",
        GUARDRAILS_SIDECAR__URL=PLAIN,
    )
    assert said == (
        "GUARDRAILS_ENGINE: engine: is `sidecar`, and the file says where decisions come from, by"
        " `policies`; a variable cannot change that: write `engine` into the file, or unset the"
        " variable"
    )


def test_signed_bundles_are_not_exchanged_for_others(project):
    for name in ("signed.yaml", "unsigned.yaml"):
        (project / name).write_text("bundles: {}\n")
    text = "environment: prod\nopa_config: signed.yaml\n"
    said = problem(project, text, GUARDRAILS_OPA_CONFIG="unsigned.yaml")
    assert said.startswith(
        "GUARDRAILS_OPA_CONFIG: opa_config: is `unsigned.yaml`, and the file says `signed.yaml`;"
    )
    assert load(project, text, GUARDRAILS_OPA_CONFIG="signed.yaml").engine.opa_config is not None


@pytest.mark.parametrize("written", ["https://opa:8181", "unix:///run/opa.sock"])
@pytest.mark.parametrize("plain", [PLAIN, "http://127.0.0.1:8181", "HTTP://opa:8181"])
def test_the_protection_of_a_connection_is_not_taken_away(project, written, plain):
    text = f"environment: prod\nsidecar: {{url: '{written}', token_env: OPA_TOKEN}}\n"
    said = problem(project, text, GUARDRAILS_SIDECAR__URL=plain)
    assert said.startswith(
        f"GUARDRAILS_SIDECAR__URL: sidecar.url: is `{plain}`, and the file says `{written}`;"
    )


def test_which_secret_is_sent_is_not_chosen_by_a_variable(project):
    for token in ("", ", token_env: OPA_TOKEN"):
        said = problem(
            project,
            f"environment: prod\nsidecar: {{url: 'https://opa:8181'{token}}}\n",
            GUARDRAILS_SIDECAR__TOKEN_ENV="AWS_SECRET_ACCESS_KEY",
        )
        assert said.startswith("GUARDRAILS_SIDECAR__TOKEN_ENV: sidecar.token_env: cannot be set")


def test_the_shipped_library_is_not_turned_off(project):
    (project / "dir").mkdir()
    said = problem(project, GUARDRAILS_BUNDLE="dir")
    assert said.startswith("GUARDRAILS_BUNDLE: bundle: is `dir`, and it would take the place of")
    assert "write `library: false` or `bundle` into the file" in said


@pytest.mark.parametrize("key", ["state", "record"])
def test_null_is_what_the_file_says_and_not_left_open(project, key):
    said = problem(
        project, f"environment: prod\n{key}: null\n", **{f"GUARDRAILS_{key.upper()}": "/there"}
    )
    assert said == (
        f"GUARDRAILS_{key.upper()}: {key}: is `/there`, and the file says `{key}: null`; a"
        f" variable cannot change that: leave `{key}` out of the file, or unset the variable"
    )


@pytest.mark.parametrize("path", SETTABLE, ids=variable_of)
def test_null_at_any_key_that_can_be_set_is_the_files_word(project, path):
    for depth in range(1, len(path) + 1):
        null = "null"
        for part in reversed(path[1:depth]):
            null = f"{{{part}: {null}}}"
        text = f"{path[0]}: {null}\n" + ("" if path[0] == "environment" else "environment: prod\n")
        said = problem(project, text, **{variable_of(path): "0.5"})
        assert said.startswith(f"{variable_of(path)}: ")
        assert f"the file says `{'.'.join(path[:depth])}: null`" in said


@pytest.mark.parametrize("key", ["engine", "bundle", "opa_config"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_beside_any_statement_about_decisions_no_variable_makes_another(project, key, statement):
    (project / "pol").mkdir()
    text = f"environment: prod\n{statement}: {EVERY_STATEMENT[statement]}\n"
    value = "verified" if key == "engine" else "pol"
    said = problem(project, text, **{f"GUARDRAILS_{key.upper()}": value})
    assert said.startswith(f"GUARDRAILS_{key.upper()}: {key}: is `{value}`, and the file says ")


def test_a_source_that_the_file_leaves_open_a_variable_may_give(project):
    (project / "opa.yaml").write_text("bundles: {}\n")
    (project / "dir").mkdir()
    config = load(project, GUARDRAILS_OPA_CONFIG="opa.yaml")
    assert config.engine.opa_config == project / "opa.yaml"
    config = load(project, "environment: prod\nlibrary: false\n", GUARDRAILS_BUNDLE="dir")
    assert (config.library, config.engine.bundle) == (False, project / "dir")
    text = "environment: prod\nsidecar: {url: 'unix:///a'}\n"
    assert load(project, text, GUARDRAILS_ENGINE="verified").engine.name == "verified"
    text += "engine: sidecar\npolicies: dir\n"
    assert load(project, text, GUARDRAILS_ENGINE="sidecar").engine.name == "sidecar"
    text = "environment: prod\nbundle: dir\n"
    assert load(project, text, GUARDRAILS_BUNDLE="dir").engine.bundle == project / "dir"


@pytest.mark.parametrize(
    ("written", "variable"),
    [
        ("http://opa:8181", "http://127.0.0.1:8181"),
        ("http://opa:8181", "https://opa:8181"),
        ("http://opa:8181", "unix:///a"),
        ("https://opa:8181", "https://other:8181"),
        ("https://opa:8181", "unix:///a"),
        ("unix:///a", "https://opa:8181"),
    ],
)
def test_an_address_that_is_protected_as_well_takes_the_files_place(project, written, variable):
    text = f"environment: prod\nsidecar: {{url: '{written}'}}\n"
    config = load(project, text, GUARDRAILS_SIDECAR__URL=variable)
    assert config.engine.sidecar.url == variable


def test_the_other_places_take_the_files_place(project):
    for name in ("old", "new"):
        (project / name).write_text("")
    keys = ("token_file", "ca", "cert", "key")
    written = ", ".join(f"{key}: old" for key in keys)
    config = load(
        project,
        f"environment: prod\nopa: old\nsidecar: {{url: 'https://opa:8181', {written}}}\n",
        GUARDRAILS_OPA="new",
        **{f"GUARDRAILS_SIDECAR__{key.upper()}": "new" for key in keys},
    )
    found = config.engine.sidecar
    assert {config.opa, *(getattr(found, key) for key in keys)} == {project / "new"}


def test_a_section_that_is_none_is_not_hidden_by_a_variable(project):
    said = problem(
        project, "environment: prod\nsidecar: opa\n", GUARDRAILS_SIDECAR__URL="unix:///a"
    )
    assert "sidecar: a mapping with the keys" in said


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
    assert set(STATEMENTS) <= set(fields)
    for path in SETTABLE:
        assert path[0] in fields
        assert variable_of(path) == "GUARDRAILS_" + "__".join(map(str, path)).upper()
    assert not {("modes",), ("policies",), ("agents",), ("library",)} & {*SETTABLE}
