"""The decorators: a function in, one governed function out.

Whatever the order and number of decorators, a function is wrapped once. The
innermost decorator makes the wrapper; those above it only replace the
:class:`~guardrails.enforcement.definition.Tool` that the wrapper refers to. A
foreign decorator in between stays where it is: the wrapper below it is found
by ``__wrapped__``, so that nothing executes undecided, whatever the foreign
decorator does.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

import wrapt

from guardrails.enforcement import workers
from guardrails.enforcement.arguments import Parameters, bind_predicate
from guardrails.enforcement.definition import (
    MISSING,
    ApprovalRule,
    Price,
    Tool,
    checked_groups,
    checked_labels,
    checked_name,
    seconds_of,
)
from guardrails.enforcement.invoke import Holder, wrapper_for
from guardrails.errors import ConfigError
from guardrails.model.budget import Budget
from guardrails.model.facts import ToolFacts
from guardrails.model.money import micro_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.model.money import Money

P = ParamSpec("P")
R = TypeVar("R")

_HOLDER: Final = "__governed__"
_INSTANCE_NAMES: Final = frozenset({"self", "cls", "mcs"})
_LARGEST_QUORUM: Final = 100
_DEEPEST_STACK: Final = 100


@overload
def governed_tool(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def governed_tool(
    fn: None = None,
    /,
    *,
    name: str | None = None,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
    hide: Iterable[str] = (),
    shadow: Any = MISSING,
    validate: bool = True,
    isolation: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def governed_tool(  # noqa: PLR0913  # the facts of a tool, each by its name
    fn: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
    hide: Iterable[str] = (),
    shadow: Any = MISSING,
    validate: bool = True,
    isolation: str | None = None,
) -> Any:
    """The function, governed: every call is decided by policy before it runs.

    Works on functions, coroutines, generators, async generators, methods,
    static and class methods and partials; signature, annotations and docstring
    stay.

    Args:
        fn: The function, where the decorator is used bare.
        name: The tool's name for policy; else its qualified name.
        resource: What it works on, as grants name it; else the tool's name.
        operation: What it does to it: ``read``, ``write``, ``execute``, …
        labels: Words for policy; the library knows ``customer_facing``,
            ``moves_money``, ``production_config`` and ``deletes_data``.
        hide: Parameters that are no data, as a session: policy does not see them.
        shadow: What a withheld call returns, a value or a function of the
            parameters; without it a withheld call raises ``CallShadowed``.
        validate: Check arguments against the annotations.
        isolation: ``process`` to run each call in a process of its own, which a kill ends:
            for functions and coroutine functions of a module, fully annotated.

    Raises:
        ConfigError: at import, where an argument is wrong, where the function is
            governed already, or where it is a class or a framework's tool object.
    """
    options = _Options(name, resource, operation, labels, hide, shadow, validate, isolation)
    return _apply(fn, lambda target: _govern(target, options), "governed_tool")


@overload
def requires_approval(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def requires_approval(
    fn: None = None,
    /,
    *,
    when: Callable[..., Any] | None = None,
    approvers: str | Iterable[str] = "operations",
    quorum: int = 1,
    expires_in: int | str = "4h",
    reason: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def requires_approval(  # noqa: PLR0913  # the words of one rule, each by its name
    fn: Callable[..., Any] | None = None,
    /,
    *,
    when: Callable[..., Any] | None = None,
    approvers: str | Iterable[str] = "operations",
    quorum: int = 1,
    expires_in: int | str = "4h",
    reason: str | None = None,
) -> Any:
    """The function, governed, and a person has to approve its calls.

    It can only tighten what policy says: an approval never lifts a denial.
    Applied several times, each must be satisfied by its own approvers.

    Args:
        fn: The function, where the decorator is used bare.
        when: Whether a call needs approval, a function of some of the tool's
            parameters, by name; every call where it is not given. If it raises,
            the call is refused.
        approvers: The group, or groups, whose members may answer.
        quorum: How many distinct people must agree.
        expires_in: Seconds, or ``"30s"``, ``"15m"``, ``"4h"``, ``"2d"``.
        reason: What the approver reads.

    Raises:
        ConfigError: at import, where an argument is wrong.
    """
    groups = checked_groups(approvers)
    if type(quorum) is not int or not 1 <= quorum <= _LARGEST_QUORUM:
        msg = (
            f"requires_approval: quorum {quorum!r} is not a whole number "
            f"from 1 to {_LARGEST_QUORUM}"
        )
        raise ConfigError(msg)
    expiry = seconds_of(expires_in, what="requires_approval: expires_in")
    words = reason if reason is not None else f"{', '.join(groups)} must approve it"

    def change(tool: Tool) -> Tool:
        condition = (
            None
            if when is None
            else bind_predicate(when, tool.parameters, what="requires_approval: when")
        )
        rule = ApprovalRule(condition, groups, quorum, expiry, words)
        return replace(tool, approvals=(*tool.approvals, rule))

    return _apply(fn, lambda target: _changed(target, change), "requires_approval")


@overload
def budget(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def budget(
    fn: None = None,
    /,
    *,
    cost: Money | Callable[..., Money] = 0,
    usd: Money | None = None,
    tokens: int | None = None,
    calls: int | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def budget(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    cost: Money | Callable[..., Money] = 0,
    usd: Money | None = None,
    tokens: int | None = None,
    calls: int | None = None,
) -> Any:
    """The function, governed, with the price of a call and the tool's own limits in a run.

    Args:
        fn: The function, where the decorator is used bare.
        cost: Dollars that one call reserves: an amount, or a function of some of
            the tool's parameters, by name, that gives it. If it raises or gives
            no amount, the call is refused.
        usd: Dollars that this tool may spend in one run.
        tokens: Tokens that it may report in one run.
        calls: How often it may run in one run.

    Raises:
        ConfigError: at import, where an argument is wrong, or applied twice.
    """
    limits = Budget(usd=usd, tokens=tokens, calls=calls)

    def change(tool: Tool) -> Tool:
        if tool.priced:
            msg = f"`{tool}` has two @budget decorators; keep one with all its limits"
            raise ConfigError(msg)
        price = Price(_cost(cost, tool), None if limits.is_empty else limits)
        return replace(tool, price=price, priced=True)

    return _apply(fn, lambda target: _changed(target, change), "budget")


def govern(module: str, name: str, /, **options: Any) -> None:
    """Govern in place a function that one does not own; takes what :func:`governed_tool` takes.

    The function is replaced at once if `module` is imported, else as soon as it is. Code that
    has taken the function by name before keeps the old one: govern before it is imported. A
    governed function that calls another one makes two calls: both are decided and charged.

    Args:
        module: The dotted name of the module.
        name: The function in it, or ``Class.method``.
        **options: As for :func:`governed_tool`.

    Raises:
        ConfigError: there is no such function, or it is governed already.
    """

    def patch(imported: Any) -> None:
        try:
            parent, attribute, original = wrapt.resolve_path(imported, name)
        except AttributeError as error:
            msg = f"govern: module `{module}` has no `{name}` ({error})"
            raise ConfigError(msg) from None
        wrapt.apply_patch(parent, attribute, governed_tool(**options)(original))

    wrapt.register_post_import_hook(patch, module)


def tool_of(function: object) -> Tool | None:
    """The tool behind a governed function, or None."""
    holder = _holder_of(function)
    return None if holder is None else holder.tool


def wrapped(tool: Tool) -> Any:
    """The governed function of `tool`, which was not wrapped before."""
    holder = Holder(tool)
    wrapper = wrapper_for(holder)
    setattr(wrapper, _HOLDER, holder)
    holder.wrapper = wrapper
    return wrapper


class _Options:
    """The arguments of one ``@governed_tool``, checked."""

    def __init__(  # noqa: PLR0913, PLR0917  # the decorator's own arguments in their order
        self,
        name: str | None,
        resource: str | None,
        operation: str,
        labels: Iterable[str],
        hide: Iterable[str],
        shadow: Any,
        validate: bool,  # noqa: FBT001  # as above
        isolation: str | None,
    ) -> None:
        self.name = None if name is None else checked_name(name, what="governed_tool: name")
        self.resource = (
            None if resource is None else checked_name(resource, what="governed_tool: resource")
        )
        self.operation = checked_name(operation, what="governed_tool: operation")
        self.labels = checked_labels(labels)
        if isinstance(hide, str):
            msg = f'governed_tool: hide takes a collection of names, as ("{hide}",), not one string'
            raise ConfigError(msg)
        self.hide = tuple(hide)
        self.shadow = shadow
        self.validate = validate
        self.isolation = isolation


def _apply(fn: Any, decorate: Callable[[Any], Any], what: str) -> Any:
    """`fn` decorated, or the decorator itself where it was called with arguments only."""
    if fn is None:
        return decorate
    if isinstance(fn, str) or not (callable(fn) or isinstance(fn, staticmethod | classmethod)):
        msg = f"{what}: {fn!r} is no function; options are given by name"
        raise ConfigError(msg)
    return decorate(fn)


def _govern(target: Any, options: _Options) -> Any:
    def change(tool: Tool) -> Tool:
        if tool.declared:
            msg = f"`{tool}` is governed already; keep one @governed_tool"
            raise ConfigError(msg)
        name = options.name or tool.facts.name
        parameters = tool.parameters.with_options(hide=options.hide, validate=options.validate)
        shadow = options.shadow
        if callable(shadow):
            shadow = bind_predicate(shadow, parameters, what="governed_tool: shadow")
        made = replace(
            tool,
            facts=ToolFacts(
                name, options.resource or name, options.operation, options.labels, parameters.hidden
            ),
            parameters=parameters,
            shadow=shadow,
            declared=True,
        )
        return replace(made, isolation=workers.checked(made, options.isolation))

    return _changed(target, change)


def _changed(target: Any, change: Callable[[Tool], Tool]) -> Any:
    """`target` with its tool changed: the same object where it is governed, else a new wrapper."""
    if isinstance(target, staticmethod | classmethod):
        return type(target)(
            _changed_function(target.__func__, change, is_class=isinstance(target, classmethod))
        )
    return _changed_function(target, change)


def _changed_function(
    function: Any, change: Callable[[Tool], Tool], *, is_class: bool | None = None
) -> Any:
    holder = _holder_of(function)
    if holder is None:
        _refuse_odd_targets(function)
        return wrapped(change(_bare(function, is_class=is_class)))
    if is_class is not None and is_class is not holder.tool.parameters.skip_first:
        holder.tool = replace(
            holder.tool, parameters=holder.tool.parameters.with_options(skip_first=is_class)
        )
    holder.tool = change(holder.tool)
    return function


def _holder_of(function: object) -> Holder | None:
    """The holder of the governed function that `function` is, or wraps by ``__wrapped__``."""
    # Bounded: there are objects that answer to every name, ever with a new object.
    for _ in range(_DEEPEST_STACK):
        if isinstance(function, staticmethod | classmethod) or inspect.ismethod(function):
            function = function.__func__
            continue
        holder = getattr(function, _HOLDER, None)
        # A foreign decorator copies our attribute with the rest of `__dict__`.
        if isinstance(holder, Holder) and holder.wrapper is function:
            return holder
        function = getattr(function, "__wrapped__", None)
        if function is None:
            return None
    return None


def _refuse_odd_targets(function: Any) -> None:
    if isinstance(function, type):
        msg = (
            f"`{function.__qualname__}` is a class; govern its methods, or a function that makes it"
        )
        raise ConfigError(msg)
    if not (inspect.isroutine(function) or isinstance(function, functools.partial)):
        kind = f"{type(function).__module__}.{type(function).__qualname__}"
        msg = (
            f"`{kind}` is no plain function; if it is a framework's tool object, put the "
            "guardrails decorators below the framework's, next to `def`; if it is an object "
            "with `__call__`, govern that method"
        )
        raise ConfigError(msg)
    hidden = _governed_in_closure(function)
    if hidden is not None:
        msg = (
            f"`{getattr(function, '__qualname__', function)}` hides the governed function "
            f"`{hidden}` below it: put all guardrails decorators next to each other, below it, "
            "or let it use functools.wraps"
        )
        raise ConfigError(msg)


def _governed_in_closure(function: Any) -> Tool | None:
    for cell in getattr(function, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # an empty cell
            continue
        holder = _holder_of(content) if callable(content) else None
        if holder is not None:
            return holder.tool
    return None


def _bare(function: Any, *, is_class: bool | None) -> Tool:
    """The tool that a function is before any decorator has spoken."""
    inner = function.func if isinstance(function, functools.partial) else function
    qualified = str(getattr(inner, "__qualname__", "") or getattr(inner, "__name__", ""))
    name = checked_name(
        qualified.replace("<locals>.", "").replace("<lambda>", "lambda"), what="tool name"
    )
    skip = _takes_instance(function, qualified) if is_class is None else is_class
    parameters = Parameters.of(function, skip_first=skip, hide=(), validate=True)
    return Tool(function, ToolFacts(name, name, hidden=parameters.hidden), parameters)


def _takes_instance(function: Any, qualified: str) -> bool:
    """Whether `function` is written in a class body and its first parameter is the instance."""
    if inspect.ismethod(function) or not inspect.isfunction(function):
        return False
    scope = qualified.rpartition(".")[0]
    if not scope or scope.endswith("<locals>"):
        return False
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    inner = inspect.unwrap(function)
    if inner is not function and inspect.isfunction(inner):
        names = inner.__code__.co_varnames[: inner.__code__.co_argcount]
    return bool(names) and names[0] in _INSTANCE_NAMES


def _cost(cost: Any, tool: Tool) -> int | Callable[[Any], Any]:
    if callable(cost):
        return bind_predicate(cost, tool.parameters, what="budget: cost")
    try:
        return micro_usd(cost)
    except (TypeError, ValueError) as error:
        msg = f"budget: cost: {error}"
        raise ConfigError(msg) from None
