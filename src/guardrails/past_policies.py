"""Policies as they were when they decided, from the archive: their sources, and their rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.engines.source import ENTRYPOINT
from guardrails.errors import GuardrailsError
from guardrails.rego.program import Program
from guardrails.rego.values import from_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from guardrails.audit.archive import Archive

PACKAGE: Final = "guardrails.rules."
"""How the packages of rules begin."""

KINDS: Final = {
    "deny": "deny",
    "require_approval": "require_approval",
    "shadow": "shadow",
    "allow": "allow",
}
"""Which rules of a package give an effect."""

_LONGEST: Final = 60


class PastRule(NamedTuple):
    """A rule as it was.

    Attributes:
        where: Its file and row.
        rule: The id of its package.
        text: Its lines.
    """

    where: str
    rule: str
    text: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PastPolicies:
    """The policies of one revision.

    Attributes:
        revision: It.
        modules: The Rego sources by file.
        data: The base documents.
    """

    revision: str
    modules: Mapping[str, str]
    data: Mapping[str, Any]

    @classmethod
    def read(cls, archive: Archive, digest: str) -> PastPolicies | None:
        """What an activation names as ``archive``; None where it is not kept here.

        Raises:
            StateUnavailable: a part of it cannot be read, or was changed.
        """
        kept = archive.get_document(digest)
        if kept is None:
            return None
        modules: dict[str, str] = {}
        for file, each in kept["modules"].items():
            content = archive.get(each)
            if content is None:
                return None
            modules[file] = content.decode()
        data = archive.get_document(kept["data"])
        return None if data is None else cls(kept["revision"], modules, data)

    def rules(
        self, effect: str, rules: Collection[str], document: Mapping[str, Any] | None = None
    ) -> list[PastRule]:
        """The rules that gave an effect, as they were written.

        Args:
            effect: The effect.
            rules: The ids of their packages.
            document: What was decided, to tell those that spoke; None, or where a value in it was
                taken out that they need, for all of those packages that could give the effect.
        """
        found = [] if document is None else list(self._traced(document, effect, rules))
        return found or list(self._written(effect, rules))

    def _traced(
        self, document: Mapping[str, Any], effect: str, rules: Collection[str]
    ) -> Iterator[PastRule]:
        wanted = {f"data.{PACKAGE}{rule}.{KINDS.get(effect, effect)}": rule for rule in rules}
        try:
            program = Program.from_modules(dict(self.modules), [ENTRYPOINT]).with_data(
                from_json(dict(self.data))
            )
            trace = program.explain(ENTRYPOINT, document, strict_builtin_errors=True)
        except (GuardrailsError, ValueError, TypeError):
            return  # the planner may be another one by now; what is written is still shown
        shown: set[tuple[str, int]] = set()
        for each in trace.rules():
            place = (each.where.file or "", each.where.row or 0)
            if each.name in wanted and each.contributes and place not in shown:
                shown.add(place)
                text = rule_text(self.modules.get(place[0], ""), place[1])
                yield PastRule(f"{place[0]}:{place[1]}", wanted[each.name], text)

    def _written(self, effect: str, rules: Collection[str]) -> Iterator[PastRule]:
        head = KINDS.get(effect, effect)
        packages = {f"package {PACKAGE}{rule}": rule for rule in rules}
        for file, text in sorted(self.modules.items()):
            lines = text.splitlines()
            rule = next(
                (packages[each.strip()] for each in lines if each.strip() in packages), None
            )
            if rule is None:
                continue
            for row, line in enumerate(lines, 1):
                word, _, rest = line.partition(" ")
                if word == head and rest[:1] not in {"", "="}:
                    yield PastRule(f"{file}:{row}", rule, rule_text(text, row))


def rule_text(module: str, row: int) -> tuple[str, ...]:
    """The lines of the rule that begins in a row of a module, its comments above left out."""
    lines = module.splitlines()
    if not 1 <= row <= len(lines):
        return ()
    found: list[str] = []
    depth = 0
    for line in lines[row - 1 : row - 1 + _LONGEST]:
        found.append(line)
        bare = _without_texts(line)
        depth += sum(map(bare.count, "{[(")) - sum(map(bare.count, "}])"))
        if depth <= 0:
            break
    return tuple(found)


def _without_texts(line: str) -> str:
    """A line of Rego without what stands in quotes, and without its comment."""
    made: list[str] = []
    quote = ""
    escaped = False
    for each in line:
        if quote:
            if escaped or (each == "\\" and quote == '"'):
                escaped = not escaped
            elif each == quote:
                quote = ""
        elif each in {'"', "`"}:
            quote = each
        elif each == "#":
            break
        else:
            made.append(each)
    return "".join(made)
