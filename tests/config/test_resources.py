"""The shipped files are found in a clone and in an installation; what is absent is said."""

from __future__ import annotations

import pytest

from guardrails import resources
from guardrails.errors import ConfigError


def test_the_policy_library_is_found():
    assert (resources.policies_directory() / "guardrails" / "main.rego").is_file()


def test_an_installation_comes_before_a_clone(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path)
    (tmp_path / "_policies").mkdir()
    assert resources.policies_directory() == tmp_path / "_policies"


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "site-packages" / "guardrails")
    with pytest.raises(ConfigError, match="shipped examples are missing"):
        resources.examples_directory()
