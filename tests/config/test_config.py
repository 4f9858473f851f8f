"""The configuration file: found upward, strict, and wrong where it is written."""

from __future__ import annotations

import dataclasses

import pytest

from guardrails.config import FILE_NAME, VARIABLE, Config
from guardrails.config.budgets import Budgets
from guardrails.errors import ConfigError
from guardrails.model.approval import Escalation
from guardrails.model.limits import Limits
from guardrails.model.record_plan import RecordPlan
from guardrails.register.source import SourceError


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")
    (tmp_path / "policies").mkdir()
    (tmp_path / FILE_NAME).write_text("environment: dev\n")
    return tmp_path


def write(project, text):
    (project / FILE_NAME).write_text(text)
    return Config.load(project / FILE_NAME)


def test_the_least_that_must_be_said_gives_the_defaults(project):
    assert Config.load(project / FILE_NAME) == Config(
        file=project / FILE_NAME,
        environment="dev",
        agents=project / "agents.yaml",
        library=True,
        presets=(),
        policies=(),
        modes=("enforce", "shadow"),
        planner="regopy",
        opa=None,
        record=RecordPlan(project / ".guardrails" / "record"),
        state=project / ".guardrails",
        limits=Limits(depth=64, nodes=10_000, text=1_048_576),
        budgets=Budgets().plan("dev"),
    )


def test_everything_can_be_said(project):
    (project / "opa").write_text("")
    (project / "more").mkdir()
    config = write(
        project,
        "environment: prod\nagents: agents.yaml\nlibrary: false\npresets: [read_only]\n"
        "policies: [policies, more]\nmodes: [enforce, shadow, observe]\nplanner: opa\nopa: opa\n"
        "record: null\nlimits: {depth: 8, nodes: 100, bytes: 1000}\n",
    )
    assert config.environment == "prod"
    assert not config.library
    assert config.presets == ("read_only",)
    assert config.policies == (project / "policies", project / "more")
    assert config.modes == ("enforce", "shadow", "observe")
    assert (config.planner, config.opa) == ("opa", project / "opa")
    assert config.record is None
    assert config.limits == Limits(depth=8, nodes=100, text=1000)


def test_one_directory_of_policies_needs_no_list(project):
    assert write(project, "environment: dev\npolicies: policies\n").policies == (
        project / "policies",
    )


def test_observe_is_never_permitted_unless_it_is_named(project):
    assert "observe" not in write(project, "environment: dev\n").modes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1:1: a mapping with the keys `environment`"),
        ("agents: agents.yaml\n", ":1:1: environment: is missing"),
        (
            "environment: dev\nenviroment: prod\n",
            ":2:1: enviroment: unknown key (did you mean `env",
        ),
        ("environment: Prod\n", ":1:14: environment: an environment's name in lower case"),
        ("environment: no\n", ":1:14: environment: YAML readers disagree"),
        ("environment: dev\nagents: absent.yaml\n", ":2:1: agents: the register `"),
        ("environment: dev\npolicies: [policies, absent]\n", ":2:22: policies[1]: `"),
        ("environment: dev\npolicies: 5\n", ":2:11: policies: a list is needed, not `5`"),
        (
            "environment: dev\npresets: [read_onyl]\n",
            "there is no preset `read_onyl` (did you mean",
        ),
        ("environment: dev\npresets: [..]\n", ":2:11: presets[0]: a name of letters"),
        (
            "environment: dev\nmodes: [enforce, observ]\n",
            ":2:18: modes[1]: `observ` is not known (di",
        ),
        ("environment: dev\nmodes: []\n", ":2:8: modes: at least one is needed"),
        (
            "environment: dev\nplanner: opaa\n",
            ":2:10: planner: `opaa` is not known (did you mean `o",
        ),
        ("environment: dev\nplanner: opa\nopa: absent\n", ":3:6: opa: `"),
        ("environment: dev\nlibrary: 1\n", ":2:10: library: "),
        ("environment: dev\nlibrary: false\n", ":2:10: library: without the library"),
        ("environment: dev\nrecord: 5\n", ":2:9: record: a path is needed"),
        ("environment: dev\nlimits: {depth: 0}\n", ":2:17: limits.depth: should be greater"),
        ("environment: dev\nlimits: {size: 1}\n", ":2:10: limits.size: unknown key"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(project, text, said):
    with pytest.raises(SourceError) as caught:
        write(project, text)
    assert str(caught.value).startswith(str(project / FILE_NAME))
    assert said in str(caught.value)


def test_the_file_is_found_from_any_directory_below_it(project, monkeypatch):
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    assert Config.find(deep).file == project / FILE_NAME
    monkeypatch.chdir(deep)
    assert Config.find().file.samefile(project / FILE_NAME)


def test_the_nearest_file_counts(project):
    near = project / "near"
    near.mkdir()
    (near / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")
    (near / FILE_NAME).write_text("environment: near\n")
    assert Config.find(near).environment == "near"


def test_the_variable_names_another_file(project, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setenv(VARIABLE, str(project / FILE_NAME))
    assert Config.find().file == project / FILE_NAME
    monkeypatch.setenv(VARIABLE, str(project / "absent.yaml"))
    with pytest.raises(ConfigError, match=r"GUARDRAILS_CONFIG names .*absent\.yaml"):
        Config.find()


def test_where_there_is_none_the_error_says_what_makes_one(tmp_path):
    with pytest.raises(ConfigError, match="guardrails init"):
        Config.find(tmp_path)


def test_a_configuration_is_frozen(project):
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config.load(project / FILE_NAME).environment = "prod"  # type: ignore[misc]  # the law


def test_the_chain_of_escalation_is_read_with_its_times(project):
    config = write(
        project,
        "environment: dev\nescalation: {fin: [{after: 30m, to: leads}, {after: 2h, to: board}]}\n",
    )
    assert config.escalation == (Escalation("fin", 1800, "leads"), Escalation("fin", 7200, "board"))


@pytest.mark.parametrize(
    "wrong",
    [
        "{fin: []}",
        "{fin: [{to: x}]}",
        "{fin: [{after: 0, to: x}]}",
        "{fin: [{after: 1m, to: fin}]}",
    ],
)
def test_a_wrong_chain_of_escalation_says_where(project, wrong):
    with pytest.raises(ConfigError, match=r"guardrails.yaml:2:\d+: escalation"):
        write(project, f"environment: dev\nescalation: {wrong}\n")
