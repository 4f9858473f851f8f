"""What must not be written is taken out of an event: by policy, by configuration, by sight.

A record does this as it writes, off the call's path where it writes there. In the place of a
value stands a text, so that a policy that is evaluated over it later meets no other type::

    [redacted]                              a policy's obligation hides it
    [digest:6f1e…]                          the tool's arguments are kept as digests
    [redacted:aws-access-key:6f1e0c9a…]     a secret was found there

The digests are HMAC-SHA256 under a key of the state directory (of the process, without one).
Equal values have equal digests, so that one may ask where else the same key was used. Who has
only the record cannot find a short value by trying; who has the key, too, can.

An argument could be such a text itself, so the line says where values were put in the place of
others: ``masked``, and ``erased`` for what was left out, both as JSON pointers into the line.
"""

from __future__ import annotations

import functools
import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.audit.document import as_document
from guardrails.audit.exact_json import exact_json
from guardrails.audit.secret_names import NAMED, is_hidden_by_name, is_secret_name
from guardrails.model.pointer import ARGS, NoPointer, below_args, place, pointer
from guardrails.model.recording import DEFAULT_RECORDING, ArgumentsKept, OnSecret, Recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrails.audit.secrets import Detector
    from guardrails.model.call import Event
    from guardrails.model.decision import Obligation

REDACTED: Final = "[redacted]"
"""What stands in the place of a value that policy hides."""

_Where: TypeAlias = "tuple[object, ...]"

_SPOKEN: Final = ("reasons", "approvals", "policy", "detail")
_SHOWN_BYTES: Final = 8
_KEY_BYTES: Final = 32
_LEAST_CARD: Final = 10**12
_LONG: Final = 64 << 10
"""Characters of one event from which on it is looked through by itself."""

_INPUT: Final = ("input",)
_ARGUMENTS: Final = ("input", ARGS)


class Redaction:
    """Makes of events what may be written.

    Args:
        recording: What may be kept.
        key: 32 bytes for the digests; None for random ones, which are this process's alone.
    """

    def __init__(self, recording: Recording = DEFAULT_RECORDING, key: bytes | None = None) -> None:
        self.recording = recording
        self._key = secrets.token_bytes(_KEY_BYTES) if key is None else key

    @functools.cached_property
    def _detector(self) -> Detector:
        # Only here: a program that writes nothing needs no RE2.
        from guardrails.audit.secrets import Detector  # noqa: PLC0415  # as above

        return Detector(cards=self.recording.cards)

    def document(self, event: Event) -> dict[str, Any]:
        """The object of the event's line; the event and all that it refers to stay as they are."""
        return self.documents([event])[0]

    def documents(self, events: Sequence[Event]) -> list[dict[str, Any]]:
        """The same of many: where no secret is in any of them, all are looked through at once."""
        documents = [as_document(event) for event in events]
        texts: list[str] = []
        suspects: list[bool] = []
        for document in documents:
            its: list[str] = []
            is_suspect = self._gather_all(document, its) or sum(map(len, its)) > _LONG
            if not is_suspect:
                texts += its
            suspects.append(is_suspect)
        if self._detector.may_hold("\n".join(texts).encode("utf-8", "surrogatepass")):
            suspects = [True] * len(documents)
        for event, document, is_suspect in zip(events, documents, suspects, strict=True):
            self._redact(event, document, is_suspect=is_suspect)
        return documents

    def _gather_all(self, document: dict[str, Any], texts: list[str]) -> bool:
        """Put every text that could be a secret into `texts`; whether a name says that one is."""
        for name in _SPOKEN:
            if name in document:
                self._gather(document[name], texts, named=False)
        given = document.get("input")
        if given is None:
            return False
        self._gather(given.get("principal"), texts, named=False)
        run = given.get("run")
        if isinstance(run, dict):
            self._gather(run.get("labels"), texts, named=False)
        return self._gather(given.get(ARGS), texts, named=True)

    def _redact(self, event: Event, document: dict[str, Any], *, is_suspect: bool) -> None:
        """Take out of a line's object what must not be written.

        Args:
            event: The event.
            document: Its line's object.
            is_suspect: Whether there may be a secret; where not, there is none.
        """
        masked: dict[str, str] = {}
        erased: list[str] = []
        if event.input is not None and (is_suspect or not self._is_kept_whole(event)):
            document["input"] = self._input(event, event.input, masked, erased)
        for name in _SPOKEN if is_suspect else ():
            if name in document:
                document[name] = self._cleaned(document[name], (name,), masked, named=False)
        if masked:
            document["masked"] = list(masked)
        if erased:
            document["erased"] = erased

    def _is_kept_whole(self, event: Event) -> bool:
        """Whether nothing but secrets is taken out of an event's document."""
        return (
            event.effect is not None
            and not event.obligations
            and self.recording.of(event.tool).arguments is ArgumentsKept.FULL
        )

    def text(self, text: str) -> str:
        """`text` with its secrets taken out."""
        return str(self._clean_text(text, None, {}))

    def refused(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The secrets for which a call is refused: the kind of each by its pointer."""
        found: dict[str, str] = {}
        if self.recording.of(tool).secrets is not OnSecret.REFUSE:
            return found
        self._cleaned(arguments, (ARGS,), found, named=True)
        return found

    def _input(
        self, event: Event, given: Mapping[str, Any], masked: dict[str, str], erased: list[str]
    ) -> dict[str, Any]:
        # Of the rest of the document only these are texts that somebody chose for this run.
        document = {name: value for name, value in given.items() if name != ARGS}
        principal = document.get("principal")
        if principal is not None:
            where: _Where = (*_INPUT, "principal")
            document["principal"] = self._cleaned(principal, where, masked, named=False)
        run = document.get("run")
        if isinstance(run, dict) and run.get("labels"):
            where = (*_INPUT, "run", "labels")
            document["run"] = {
                **run,
                "labels": self._cleaned(run["labels"], where, masked, named=False),
            }
        args = given.get(ARGS)
        if args is None:
            return document
        kept = self.recording.of(event.tool).arguments
        if kept is ArgumentsKept.NONE or event.effect is None:
            # Before a decision nobody has said what must be hidden, so nothing is shown.
            erased.append(pointer(_ARGUMENTS))
            return document
        hidden: list[tuple[str, ...]] = []
        args = hide(args, event.obligations, hidden)
        masked.update((pointer((*_INPUT, ARGS, *steps)), "") for steps in hidden)
        if kept is ArgumentsKept.DIGEST:
            whole = {steps[0] for steps in hidden if len(steps) == 1}
            args = {
                name: value if name in whole else f"[digest:{self._digest(value).hex()}]"
                for name, value in args.items()
            }
            masked.update((pointer((*_ARGUMENTS, name)), "") for name in args)
        args = self._cleaned(args, _ARGUMENTS, masked, named=kept is ArgumentsKept.FULL)
        return {name: args if name == ARGS else document[name] for name in given}

    def _cleaned(self, value: Any, where: _Where, masked: dict[str, str], *, named: bool) -> Any:
        """`value` without its secrets; the very same where it has none."""
        texts: list[str] = []
        if not self._gather(value, texts, named=named) and not self._detector.may_hold(
            "\n".join(texts).encode("utf-8", "surrogatepass")
        ):
            return value
        return self._clean(value, where, masked, named=named)

    def _gather(self, value: Any, texts: list[str], *, named: bool) -> bool:
        """Put every text in `value` into `texts`; whether a name says that there is a secret."""
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            for name, item in value.items():
                texts.append(str(name))
                if named and is_secret_name(str(name)):
                    return True
                if self._gather(item, texts, named=named):
                    return True
        elif isinstance(value, list | tuple):
            for item in value:
                if self._gather(item, texts, named=named):
                    return True
        elif type(value) is int and self.recording.cards and value >= _LEAST_CARD:
            texts.append(str(value))
        return False

    def _clean(self, value: Any, where: _Where, masked: dict[str, str], *, named: bool) -> Any:
        if isinstance(value, dict):
            return self._clean_object(value, where, masked, named=named)
        if isinstance(value, list | tuple):
            return [
                self._clean(item, (*where, index), masked, named=named)
                for index, item in enumerate(value)
            ]
        if isinstance(value, str) or (
            self.recording.cards and type(value) is int and value >= _LEAST_CARD
        ):
            return self._clean_text(value, where, masked)
        return value

    def _clean_object(
        self, value: dict[Any, Any], where: _Where, masked: dict[str, str], *, named: bool
    ) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, item in value.items():
            key = self._clean_text(str(name), None, masked)
            below = (*where, key)
            if key != name:
                masked[pointer(below)] = "name"
            if pointer(below) in masked and item == REDACTED:
                made[key] = item
            elif named and is_secret_name(str(name)) and is_hidden_by_name(str(name), item):
                made[key] = self._mark(NAMED, _bytes(item))
                masked[pointer(below)] = NAMED
            else:
                made[key] = self._clean(item, below, masked, named=named)
        return made

    def _clean_text(self, value: str | int, where: _Where | None, masked: dict[str, str]) -> Any:
        text = str(value)
        found = self._detector.find(text)
        if not found:
            return value
        content = text.encode("utf-8", "surrogatepass")
        parts: list[str] = []
        end = 0
        for each in found:
            parts.append(content[end : each.start].decode("utf-8", "surrogatepass"))
            parts.append(self._mark(each.kind, content[each.start : each.end]))
            end = each.end
        parts.append(content[end:].decode("utf-8", "surrogatepass"))
        if where is not None:
            masked[pointer(where)] = found[0].kind
        return "".join(parts)

    def _mark(self, kind: str, content: bytes) -> str:
        return f"[redacted:{kind}:{self._hmac(content)[:_SHOWN_BYTES].hex()}]"

    def _digest(self, value: Any) -> bytes:
        return self._hmac(_bytes(value))

    def _hmac(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")


def hide(
    arguments: Mapping[str, Any],
    obligations: Iterable[Obligation],
    hidden: list[tuple[str, ...]] | None = None,
) -> dict[str, Any]:
    """The arguments with ``"[redacted]"`` for each value that policy hides.

    Args:
        arguments: As exact JSON, by parameter. They are not changed, and are shared where nothing
            is hidden.
        obligations: The obligations; only redactions matter. A path that is no pointer below
            ``/args`` hides every argument; one that leads nowhere hides nothing.
        hidden: Gets the steps to each value that is hidden.
    """
    made: Any = dict(arguments)
    for duty in obligations:
        if duty.type != "redact":
            continue
        try:
            steps = below_args(duty.path)
        except NoPointer:
            if hidden is not None:
                hidden[:] = [(name,) for name in made]
            return dict.fromkeys(made, REDACTED)
        changed = _with_hidden(made, steps)
        if changed is not None:
            made = changed
            if hidden is not None:
                hidden.append(steps)
    return dict(made)


def _with_hidden(target: Any, steps: tuple[str, ...]) -> Any:
    """A copy of `target` with what `steps` lead to hidden; None where they lead nowhere."""
    found = place(target, steps[0])
    if found is None:
        return None
    below: Any = REDACTED if len(steps) == 1 else _with_hidden(target[found], steps[1:])
    if below is None:
        return None
    copy = target.copy()
    copy[found] = below
    return copy


def _bytes(value: Any) -> bytes:
    return (
        value.encode("utf-8", "surrogatepass")
        if isinstance(value, str)
        else exact_json(value).encode("ascii")
    )
