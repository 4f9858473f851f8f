"""What the register says about one agent, as its entry in ``agents.yaml`` is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, model_validator

from guardrails.model.budget import Budget
from guardrails.register.source import Mapped
from guardrails.register.words import (
    AgentId,
    Contact,
    Count,
    Day,
    Dollars,
    EnvironmentName,
    Keyed,
    Listed,
    Name,
    Number,
    Person,
    Quorum,
    Seconds,
    Some,
    Text,
    Version,
)

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class OnCall(Mapped):
    """Whom to tell when the agent misbehaves, and what to look at."""

    notify: Text
    runbook: Text | None = None
    dashboard: Text | None = None


class SignOff(Mapped):
    """Who accepted this agent, and when."""

    by: Person
    on: Day


class Limits(Mapped):
    """The budget of the agent's runs in one environment; at least one limit."""

    usd: Dollars | None = None
    tokens: Count | None = None
    calls: Count | None = None
    seconds: Seconds | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> Limits:
        if self.budget().is_empty:
            msg = "a budget names at least one limit: `usd`, `tokens`, `calls` or `seconds`"
            raise ValueError(msg)
        return self

    def budget(self) -> Budget:
        """The limits as enforcement counts them."""
        return Budget(usd=self.usd, tokens=self.tokens, calls=self.calls, seconds=self.seconds)


class ApprovalNeed(Mapped):
    """When a tool's call, or a call with a label, needs a person's word, and whose.

    Attributes:
        required: False lifts it wholly, and then stands alone.
        above: The number above which it does; without it, always.
        argument: The argument that is compared with `above`.
        approvers: Groups whose members may answer.
        quorum: How many distinct people of them must agree.
        expires_in: Seconds after which the request expires.
    """

    required: bool | None = None
    above: Number | None = None
    argument: Name | None = None
    approvers: Some[Name] | None = None
    quorum: Quorum | None = None
    expires_in: Seconds | None = None

    @model_validator(mode="after")
    def _limit_of_an_argument(self) -> ApprovalNeed:
        if (self.above is None) is not (self.argument is None):
            msg = "`above` and `argument` belong together: the limit, and the argument it is for"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _lifted_alone(self) -> ApprovalNeed:
        rest = (self.above, self.approvers, self.quorum, self.expires_in)
        if self.required is False and any(said is not None for said in rest):
            msg = "`required: false` says that nobody is asked, so it stands alone"
            raise ValueError(msg)
        return self


class Delegate(Mapped):
    """An agent that this one may open child runs for.

    Attributes:
        to: Its id.
        narrow: Whether such a child is also decided for every agent of its ancestry.
    """

    to: AgentId
    narrow: bool = False


def _delegate(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


class _IdOrMapping:
    """The JSON schema of a delegate as it may be written."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class AgentEntry(Mapped):
    """One agent. Only `owner` must be given; what is left out grants nothing."""

    owner: Person
    version: Version = "1"
    deputy: Person | None = None
    purpose: Text | None = None
    on_call: OnCall | None = None
    signed_off: SignOff | None = None
    review_by: Day | None = None
    budget: Keyed[EnvironmentName, Limits] = Field(default={}, validate_default=True)
    access: Keyed[Name, Some[Name]] = Field(default={}, validate_default=True)
    contacts: Listed[Contact] = ()
    success: Listed[Text] = ()
    approval: Keyed[Name, ApprovalNeed] = Field(default={}, validate_default=True)
    delegates: Listed[Annotated[Delegate, BeforeValidator(_delegate), _IdOrMapping()]] = ()
    labels: Annotated[Listed[Name], AfterValidator(lambda words: tuple(sorted(words)))] = ()

    @model_validator(mode="after")
    def _two_people(self) -> AgentEntry:
        if self.deputy is not None and self.deputy.lower() == self.owner.lower():
            msg = f"the deputy is another person than the owner, `{self.owner}`"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _each_delegate_once(self) -> AgentEntry:
        named = [delegate.to for delegate in self.delegates]
        twice = sorted({to for to in named if named.count(to) > 1})
        if twice:
            msg = f"the delegate `{twice[0]}` is given twice"
            raise ValueError(msg)
        return self


class Entries(RootModel[Keyed[AgentId, AgentEntry]]):
    """The whole register: agents by their ids; at least one."""

    @model_validator(mode="after")
    def _some_agent(self) -> Entries:
        if not self.root:
            msg = "a register names at least one agent"
            raise ValueError(msg)
        return self
