"""`guardrails init`: what it writes, what it never touches, and what it says next."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from guardrails.cli import app
from guardrails.cli.init import FILES
from guardrails.config import Config
from guardrails.register import Register


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def run(*words):
    return CliRunner().invoke(app, ["init", *words])


def below(directory):
    return sorted(
        each.relative_to(directory).as_posix() for each in directory.rglob("*") if each.is_file()
    )


def test_it_makes_a_project_that_loads(tmp_path):
    result = run("my-agent")
    assert result.exit_code == 0, result.output
    assert below(tmp_path / "my-agent") == sorted(FILES)
    config = Config.find(tmp_path / "my-agent")
    assert config.environment == "dev"
    assert list(Register.load(config.agents).entries) == ["billing"]


def test_it_says_what_it_made_and_what_to_do_next():
    lines = run("my agent").stdout.splitlines()
    for name in FILES:
        assert any(line.split()[:1] == [name] for line in lines)
    assert "  cd 'my agent'" in lines
    assert any(line.startswith("  guardrails policy test") for line in lines)
    assert max(map(len, lines)) <= 80


def test_without_a_folder_it_takes_the_working_directory(tmp_path):
    result = run()
    assert result.exit_code == 0
    assert below(tmp_path) == sorted(FILES)
    assert "cd " not in result.stdout


@pytest.mark.parametrize("name", [name for name in FILES if name != ".gitignore"])
def test_what_is_there_is_listed_and_nothing_is_written(tmp_path, name):
    mine = tmp_path / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    result = run()
    assert result.exit_code == 1
    assert f"error: {name}: exists already" in result.stderr
    assert "nothing was written" in result.stderr
    assert below(tmp_path) == [name]
    assert mine.read_text() == "mine"


def test_a_gitignore_stays_and_its_owner_is_told_what_to_add(tmp_path):
    (tmp_path / ".gitignore").write_text("mine")
    result = run()
    assert result.exit_code == 0
    assert (tmp_path / ".gitignore").read_text() == "mine"
    assert "Add .guardrails/ to your .gitignore" in result.stdout
    assert (tmp_path / "agent.py").is_file()


def test_a_dangling_link_is_not_written_through(tmp_path):
    (tmp_path / "agent.py").symlink_to(tmp_path / "elsewhere.py")
    assert run().exit_code == 1
    assert not (tmp_path / "elsewhere.py").exists()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    result = run(name)
    assert result.exit_code == 2
    assert "error: file" in result.stderr
    assert "choose another folder" in result.stderr


def test_another_configuration_in_the_environment_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDRAILS_CONFIG", str(tmp_path / "other.yaml"))
    assert "GUARDRAILS_CONFIG is set" in run("new").stderr
