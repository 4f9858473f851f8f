"""The engine's keys: what each says, what does not go together, and where it stands."""

from __future__ import annotations

import pytest

from guardrails.config import FILE_NAME, VARIABLE, Config
from guardrails.config.engine import EngineConfig, SidecarConfig
from guardrails.register.source import SourceError


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")
    for name in ("ca.pem", "me.pem", "me.key", "bundle.tar.gz", "opa.yaml"):
        (tmp_path / name).write_text("")
    return tmp_path


def load(project, text) -> Config:
    (project / FILE_NAME).write_text("environment: dev\n" + text)
    return Config.load(project / FILE_NAME)


def test_without_a_word_policies_are_decided_in_the_process(project):
    assert load(project, "").engine == EngineConfig()
    assert EngineConfig().decides_here


def test_everything_can_be_said(project):
    config = load(
        project,
        "engine: verified\n"
        "sidecar: {url: 'https://opa.example:8181', deadline: 0.5, token_file: token, ca: ca.pem,"
        " cert: me.pem, key: me.key}\n"
        "verified: {share: 0.25, refusals: true}\nopa_config: opa.yaml\npolicies: .\nreload: 2\n",
    )
    assert config.engine == EngineConfig(
        name="verified",
        sidecar=SidecarConfig(
            url="https://opa.example:8181",
            deadline=0.5,
            token_file=project / "token",
            ca=project / "ca.pem",
            cert=project / "me.pem",
            key=project / "me.key",
        ),
        share=0.25,
        refusals=True,
        opa_config=project / "opa.yaml",
        reload=2.0,
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("true", 1.0), ("false", None), ("null", None), ("0.5", 0.5)]
)
def test_directories_are_looked_at_as_often_as_is_said(project, text, expected):
    assert load(project, f"reload: {text}\n").engine.reload == expected


def test_a_bundle_takes_the_place_of_the_library(project):
    config = load(project, "bundle: bundle.tar.gz\n")
    assert config.engine.bundle == project / "bundle.tar.gz"
    assert not config.library


def test_a_sidecar_alone_decides_nothing_here(project):
    url = "url: unix:///run/opa.sock"
    assert not load(project, f"engine: sidecar\nsidecar: {{{url}}}\n").engine.decides_here
    fallback = f"engine: sidecar\nsidecar: {{{url}, on_unavailable: in_process}}\n"
    assert load(project, fallback).engine.decides_here


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("engine: sidcar\n", ":2:9: engine: `sidcar` is not known (did you mean `sidecar`?)"),
        ("engine: sidecar\n", ":2:9: engine: `sidecar` needs an OPA server"),
        ("engine: verified\n", ":2:9: engine: `verified` needs an OPA server"),
        ("sidecar: {}\n", ":2:10: sidecar.url: is missing"),
        ("sidecar: {url: 'ftp://x'}\n", ":2:16: sidecar.url: `ftp://x` is no address"),
        ("sidecar: {ulr: x}\n", ":2:11: sidecar.ulr: unknown key (did you mean `url`?)"),
        (
            "sidecar: {url: 'unix:///x', deadline: 0}\n",
            ":2:39: sidecar.deadline: a number of seconds from 0.001 to 60 is needed, not `0`",
        ),
        ("sidecar: {url: 'unix:///x', deadline: true}\n", "deadline: a number of seconds"),
        ("sidecar: {url: 'unix:///x', ca: ca.pem}\n", "sidecar.ca: is for a `url` that begins"),
        ("sidecar: {url: 'https://x', ca: absent}\n", "absent` is no file"),
        ("sidecar: {url: 'https://x', cert: me.pem}\n", "sidecar.cert: `cert` and `key` belong"),
        (
            "sidecar: {url: 'unix:///x', token_file: a, token_env: B}\n",
            "sidecar.token_env: give `token_file` or `token_env`, not both",
        ),
        ("sidecar: {url: 'unix:///x', token: s3cret}\n", "sidecar.token: unknown key"),
        (
            "engine: verified\nsidecar: {url: 'unix:///x', on_unavailable: in_process}\n",
            ":3:45: sidecar.on_unavailable: with `engine: verified` it is `refuse`",
        ),
        ("verified: {share: 1.5}\n", ":2:19: verified.share: a share from 0 to 1 is needed"),
        ("verified: {share: 10%}\n", "verified.share: a share from 0 to 1 is needed, not `10%`"),
        ("bundle: absent\n", ":2:9: bundle: `"),
        ("bundle: bundle.tar.gz\npresets: [read_only]\n", ":3:1: presets: `bundle` holds all pol"),
        ("bundle: bundle.tar.gz\nlibrary: true\n", ":3:1: library: `bundle` holds all policies"),
        ("bundle: bundle.tar.gz\nopa_config: opa.yaml\n", "policies come from `bundle` or by"),
        ("opa_config: absent.yaml\n", ":2:13: opa_config: `"),
        (
            "engine: sidecar\nsidecar: {url: 'unix:///o'}\nreload: true\n",
            ":4:9: reload: with `engine: sidecar` no file is read here",
        ),
        ("opa_config: opa.yaml\nreload: true\n", ":3:9: reload: the bundles of `opa_config` are"),
        ("reload: 0\n", ":2:9: reload: `true`, `false` or a number of seconds"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(project, text, said):
    with pytest.raises(SourceError) as caught:
        load(project, text)
    assert str(caught.value).startswith(str(project / FILE_NAME))
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("verified: {share: 1}\n", [":2:1: verified: has no effect with `engine: in_process`"]),
        (
            "engine: sidecar\nsidecar: {url: 'unix:///o'}\nbundle: bundle.tar.gz\nplanner: opa\n",
            [":4:1: bundle: has no effect on calls", ":5:1: planner: has no effect on calls"],
        ),
        (
            "engine: sidecar\nsidecar: {url: 'unix:///o', on_unavailable: in_process}\nreload: 1\n",
            [],
        ),
        ("engine: verified\nsidecar: {url: 'unix:///o'}\nverified: {share: 1}\n", []),
    ],
)
def test_what_decides_nothing_by_this_engine_is_said(project, text, said):
    found = load(project, text).warnings
    assert len(found) == len(said)
    for warning, expected in zip(found, said, strict=True):
        assert warning.startswith(f"{project / FILE_NAME}{expected}")
