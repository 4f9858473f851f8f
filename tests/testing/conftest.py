"""A project for these tests, which are themselves written with the plugin's fixtures."""

from __future__ import annotations

import importlib
import sys

import pytest
from tests.testing import project


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return project.make(tmp_path_factory.mktemp("project"))


@pytest.fixture
def guardrails_config(folder):
    return folder / "guardrails.yaml"


@pytest.fixture(scope="session")
def shop(folder):
    """The project's tools, as its own tests import them."""
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("shop_tools")
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("shop_tools", None)


@pytest.fixture(autouse=True)
def nothing_ran(shop):
    shop.RAN.clear()
