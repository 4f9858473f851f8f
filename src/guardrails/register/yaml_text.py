"""The register as the text of ``agents.yaml``, so written that reading gives the same entries."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml

from guardrails.register.written import as_written
from guardrails.register.yaml_source import plain_value

if TYPE_CHECKING:
    from guardrails.register.register import Register

_WIDTH = 100


def to_yaml(register: Register) -> str:
    """The register as YAML; comments of the file that it came from are not kept."""
    document = {name: as_written(entry) for name, entry in register.entries.items()}
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
        default_flow_style=None,  # the innermost lists and mappings on one line
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes every text that, unquoted, would not be read as this text."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=_style(data))

    def exact(self, data: Decimal) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:float", format(data, "f"))


def _style(text: str) -> str | None:
    try:
        return None if plain_value(text) == text else '"'
    except ValueError:
        return '"'


_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_representer(Decimal, _Dumper.exact)
