"""GraphQL documents read and checked by graphql-core, with the rules of OPA's parser.

Loads graphql-core: imported by :mod:`guardrails.rego.builtins.gql` at the first use only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLError, GraphQLSchema, build_ast_schema, validate, validate_schema
from graphql.language import (
    DocumentNode,
    ExecutableDefinitionNode,
    Lexer,
    Source,
    TokenKind,
    TypeDefinitionNode,
    TypeExtensionNode,
    ast,
    parse,
)
from graphql.type import introspection_types, specified_scalar_types
from graphql.validation.validate import validate_sdl

from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.gqlforms import query_nodes, schema_nodes
from guardrails.rego.builtins.sizes import bounded_size

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_MOST_TOKENS: Final = 10_000
"""Tokens and comments of the longest document that is read."""

_LONGEST: Final = 256 * 1024
"""Characters of the longest document that is read."""

_DEEPEST: Final = 100
"""Brackets within one another that are read."""

_OPENING: Final = (TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L)
_CLOSING: Final = (TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R)

_RESERVED: Final = frozenset({*introspection_types, *specified_scalar_types})

_SYNTAX: Final = "Syntax Error: "
_NO_QUERY_ROOT: Final = "Query root type must be provided."


def read_query(given: Value) -> DocumentNode:
    """The query in a text, or in the object that stands for one.

    Raises:
        BuiltinError: It is neither.
    """
    return _read(given, schema=False)


def read_schema(given: Value) -> DocumentNode:
    """The schema in a text, or in the object that stands for one.

    Raises:
        BuiltinError: It is neither.
    """
    return _read(given, schema=True)


def _read(given: Value, *, schema: bool) -> DocumentNode:
    try:
        if type(given) is str:
            return _parsed(given, schema=schema)
        bounded_size(given, "GraphQL document")
        return schema_nodes(given) if schema else query_nodes(given)
    except GraphQLError as error:
        raise _failure(error) from None
    except RecursionError:
        message = "the GraphQL document is nested too deep"
        raise BuiltinError(message) from None


def _failure(error: GraphQLError) -> BuiltinError:
    text = error.message.removesuffix(".")
    if text.startswith(_SYNTAX):
        text = text.removeprefix(_SYNTAX).replace("'", '"')
    if error.locations:
        place = error.locations[0]
        text += f" in GraphQL string at location {place.line}:{place.column}"
    return BuiltinError(text)


def _parsed(text: str, *, schema: bool) -> DocumentNode:
    if len(text) > _LONGEST:
        message = f"the document has {len(text)} characters; at most {_LONGEST} are read"
        raise BuiltinError(message)
    # The specification wants a definition; OPA's parser takes a document that has none.
    if _is_empty(text):
        return DocumentNode(definitions=())
    document = parse(text, max_tokens=_MOST_TOKENS, allow_empty_selection_sets=False)
    for node in document.definitions:
        executable = isinstance(node, ExecutableDefinitionNode)
        # OPA's parser knows no descriptions of operations and fragments.
        if executable is schema or (executable and getattr(node, "description", None)):
            message = "Unexpected definition"
            raise _failure(GraphQLError(message, node))
    return document


def _is_empty(text: str) -> bool:
    """Whether no token is in `text`; refuses what is nested too deep."""
    lexer = Lexer(Source(text))
    count = depth = 0
    while lexer.advance().kind is not TokenKind.EOF:
        count += 1
        if count > _MOST_TOKENS:
            break
        kind = lexer.token.kind
        depth += (kind in _OPENING) - (kind in _CLOSING)
        if depth > _DEEPEST:
            message = f"the GraphQL document is nested more than {_DEEPEST} deep"
            raise BuiltinError(message)
    return not count


def build(document: DocumentNode) -> GraphQLSchema:
    """The schema that `document` defines.

    A type that is only extended is defined by that, as OPA has it; and a schema needs no query.

    Raises:
        BuiltinError: It defines none.
    """
    whole = DocumentNode(definitions=_defining(document))
    try:
        _refuse_self_reference(whole)
        errors = validate_sdl(whole)
        if errors:
            raise _failure(errors[0])
        schema = build_ast_schema(whole, assume_valid_sdl=True)
        for error in validate_schema(schema):
            if error.message != _NO_QUERY_ROOT:
                raise _failure(error)
        if schema.query_type is None:
            # It is as valid as OPA asks, which `validate` would not believe.
            members = schema.to_kwargs()
            members["assume_valid"] = True
            schema = GraphQLSchema(**members)
    except (GraphQLError, TypeError) as error:
        raise _failure(
            error if isinstance(error, GraphQLError) else GraphQLError(str(error))
        ) from None
    except RecursionError:
        message = "the GraphQL schema is nested too deep"
        raise BuiltinError(message) from None
    return schema


def _defining(document: DocumentNode) -> tuple[Any, ...]:
    """The definitions, with the first extension of a type that has none in its place."""
    defined = {
        node.name.value for node in document.definitions if isinstance(node, TypeDefinitionNode)
    }
    taken = sorted(defined & _RESERVED)
    if taken:
        message = f"Cannot redeclare type {taken[0]}"
        raise BuiltinError(message)
    found: list[Any] = []
    for node in document.definitions:
        if isinstance(node, TypeExtensionNode) and node.name.value not in defined | _RESERVED:
            defined.add(node.name.value)
            made: Any = getattr(ast, type(node).__name__.replace("Extension", "Definition"))
            found.append(made(**{name: getattr(node, name) for name in node.keys}))
        else:
            found.append(node)
    return tuple(found)


def _refuse_self_reference(document: DocumentNode) -> None:
    """Refuse a directive whose arguments carry it: the specification does, graphql-core does not.

    Source: GraphQL specification, section 3.13, "Type Validation" of directives.
    """
    for node in document.definitions:
        if not isinstance(node, ast.DirectiveDefinitionNode):
            continue
        for argument in node.arguments or ():
            if any(item.name.value == node.name.value for item in argument.directives or ()):
                message = f"Directive {node.name.value} cannot refer to itself"
                raise BuiltinError(message)


def check(schema: GraphQLSchema, query: DocumentNode) -> None:
    """Refuse a query that is not valid under `schema`.

    Raises:
        BuiltinError: It is not.
    """
    if not query.definitions:
        return
    try:
        errors = validate(schema, query, max_errors=1)
    except GraphQLError as error:
        raise _failure(error) from None
    except RecursionError:
        message = "the GraphQL query is nested too deep"
        raise BuiltinError(message) from None
    if errors:
        raise _failure(errors[0])
