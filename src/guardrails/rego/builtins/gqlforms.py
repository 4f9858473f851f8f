"""GraphQL documents as Rego objects, in the form of OPA's parser, and back.

Source: the types of ``github.com/vektah/gqlparser/v2/ast`` as OPA writes them: a field per
member, without places in the text, nulls, and empty collections.

Loads graphql-core: imported by :mod:`guardrails.rego.builtins.gql` at the first use only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from graphql.language import ast

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.rego.values import Value

_VALUE_KINDS: Final[tuple[type[ast.ValueNode], ...]] = (
    ast.VariableNode,
    ast.IntValueNode,
    ast.FloatValueNode,
    ast.StringValueNode,
    ast.StringValueNode,
    ast.BooleanValueNode,
    ast.NullValueNode,
    ast.EnumValueNode,
    ast.ListValueNode,
    ast.ObjectValueNode,
)
_VARIABLE: Final = 0
_STRING: Final = 3
_BLOCK: Final = 4
_BOOLEAN: Final = 5
_NULL: Final = 6
_LIST: Final = 8
_OBJECT: Final = 9

_TYPE_KINDS: Final[dict[str, tuple[type[ast.Node], type[ast.Node]]]] = {
    "SCALAR": (ast.ScalarTypeDefinitionNode, ast.ScalarTypeExtensionNode),
    "OBJECT": (ast.ObjectTypeDefinitionNode, ast.ObjectTypeExtensionNode),
    "INTERFACE": (ast.InterfaceTypeDefinitionNode, ast.InterfaceTypeExtensionNode),
    "UNION": (ast.UnionTypeDefinitionNode, ast.UnionTypeExtensionNode),
    "ENUM": (ast.EnumTypeDefinitionNode, ast.EnumTypeExtensionNode),
    "INPUT_OBJECT": (ast.InputObjectTypeDefinitionNode, ast.InputObjectTypeExtensionNode),
}
_KIND_NAMES: Final = {node: name for name, pair in _TYPE_KINDS.items() for node in pair}


# ------------------------------------------------------------------------------- nodes to objects


def query_form(document: ast.DocumentNode) -> dict[str, Value]:
    """The object that stands for a query document."""
    operations: list[Value] = []
    fragments: list[Value] = []
    for node in document.definitions:
        if isinstance(node, ast.OperationDefinitionNode):
            form: dict[str, Value] = {
                "Operation": node.operation.value,
                "Name": _name(node.name),
                "VariableDefinitions": _each(_variable, node.variable_definitions),
            }
            operations.append(_selected(form, node))
        elif isinstance(node, ast.FragmentDefinitionNode):
            form = {"Name": _name(node.name), "TypeCondition": _name(node.type_condition.name)}
            fragments.append(_selected(form, node))
    return _pruned({"Operations": operations, "Fragments": fragments})


def schema_form(document: ast.DocumentNode) -> dict[str, Value]:
    """The object that stands for a schema document."""
    form: dict[str, list[Value]] = {
        "Schema": [],
        "SchemaExtension": [],
        "Directives": [],
        "Definitions": [],
        "Extensions": [],
    }
    for node in document.definitions:
        if isinstance(node, ast.SchemaDefinitionNode):
            form["Schema"].append(_schema(node))
        elif isinstance(node, ast.SchemaExtensionNode):
            form["SchemaExtension"].append(_schema(node))
        elif isinstance(node, ast.DirectiveDefinitionNode):
            form["Directives"].append(_directive_definition(node))
        else:
            extends = isinstance(node, ast.TypeExtensionNode)
            form["Extensions" if extends else "Definitions"].append(_type_definition(node))
    return _pruned(form)


def _pruned(form: dict[str, Any]) -> dict[str, Value]:
    return {key: value for key, value in form.items() if value not in (None, [], {})}


def _each(make: Callable[[Any], Value], nodes: tuple[Any, ...] | None) -> list[Value]:
    return [make(node) for node in nodes or ()]


def _name(node: ast.NameNode | None) -> str:
    return node.value if node else ""


def _selected(form: dict[str, Value], node: Any) -> dict[str, Value]:
    form["Directives"] = _each(_directive, node.directives)
    selections = node.selection_set.selections if node.selection_set else ()
    form["SelectionSet"] = _each(_selection, selections)
    return _pruned(form)


def _selection(node: ast.SelectionNode) -> Value:
    if isinstance(node, ast.FieldNode):
        name = _name(node.name)
        form: dict[str, Value] = {
            "Alias": _name(node.alias) or name,
            "Name": name,
            "Arguments": _each(_argument, node.arguments),
        }
        return _selected(form, node)
    if isinstance(node, ast.InlineFragmentNode):
        condition = node.type_condition
        return _selected({"TypeCondition": _name(condition.name) if condition else ""}, node)
    assert isinstance(node, ast.FragmentSpreadNode)  # noqa: S101  # the third and last kind
    return _pruned({"Name": _name(node.name), "Directives": _each(_directive, node.directives)})


def _variable(node: ast.VariableDefinitionNode) -> Value:
    return _pruned(
        {
            "Variable": _name(node.variable.name),
            "Type": _type(node.type),
            "DefaultValue": _value(node.default_value),
            "Directives": _each(_directive, node.directives),
            "Used": False,
        }
    )


def _argument(node: ast.ArgumentNode | ast.ObjectFieldNode) -> Value:
    return {"Name": _name(node.name), "Value": _value(node.value)}


def _directive(node: ast.DirectiveNode) -> Value:
    arguments = _each(_argument, node.arguments)
    return _pruned({"Name": _name(node.name), "Arguments": arguments, "Location": ""})


def _type(node: ast.TypeNode) -> Value:
    required = isinstance(node, ast.NonNullTypeNode)
    inner: Any = node.type if isinstance(node, ast.NonNullTypeNode) else node
    if isinstance(inner, ast.ListTypeNode):
        return {"NamedType": "", "Elem": _type(inner.type), "NonNull": required}
    return {"NamedType": _name(inner.name), "NonNull": required}


def _value(node: ast.ValueNode | None) -> Value:
    if node is None:
        return None
    kind = _VALUE_KINDS.index(type(node))
    form: dict[str, Value] = {"Raw": "", "Kind": kind, "ExpectedTypeHasDefault": False}
    content: Any = node
    if kind == _VARIABLE:
        form["Raw"] = _name(content.name)
    elif kind == _LIST:
        form["Children"] = [{"Name": "", "Value": _value(item)} for item in content.values]
    elif kind == _OBJECT:
        form["Children"] = _each(_argument, content.fields)
    elif kind == _NULL:
        form["Raw"] = "null"
    elif kind == _BOOLEAN:
        form["Raw"] = "true" if content.value else "false"
    else:
        form["Raw"] = content.value
        if kind == _STRING and content.block:
            form["Kind"] = _BLOCK
    return _pruned(form)


def _described(node: Any) -> dict[str, Value]:
    description = getattr(node, "description", None)
    return {
        "Description": description.value if description else "",
        "Directives": _each(_directive, getattr(node, "directives", None)),
    }


def _schema(node: ast.SchemaDefinitionNode | ast.SchemaExtensionNode) -> Value:
    operations = [
        {"Operation": entry.operation.value, "Type": _name(entry.type.name)}
        for entry in node.operation_types or ()
    ]
    return _pruned({**_described(node), "OperationTypes": operations})


def _directive_definition(node: ast.DirectiveDefinitionNode) -> Value:
    form = _described(node)
    form["Name"] = _name(node.name)
    form["Arguments"] = _each(_field, node.arguments)
    form["Locations"] = _each(_name, node.locations)
    form["IsRepeatable"] = node.repeatable
    return _pruned(form)


def _type_definition(node: Any) -> Value:
    form = _described(node)
    form["Kind"] = _KIND_NAMES[type(node)]
    form["Name"] = _name(node.name)
    form["BuiltIn"] = False
    form["Interfaces"] = [_name(item.name) for item in getattr(node, "interfaces", None) or ()]
    form["Types"] = [_name(item.name) for item in getattr(node, "types", None) or ()]
    form["Fields"] = _each(_field, getattr(node, "fields", None))
    form["EnumValues"] = _each(_enum_value, getattr(node, "values", None))
    return _pruned(form)


def _field(node: Any) -> Value:
    form = _described(node)
    form["Name"] = _name(node.name)
    form["Arguments"] = _each(_field, getattr(node, "arguments", None))
    form["DefaultValue"] = _value(getattr(node, "default_value", None))
    form["Type"] = _type(node.type)
    return _pruned(form)


def _enum_value(node: ast.EnumValueDefinitionNode) -> Value:
    return _pruned({**_described(node), "Name": _name(node.name)})


# ------------------------------------------------------------------------------- objects to nodes


def query_nodes(form: Value) -> ast.DocumentNode:
    """The document that `form` stands for.

    Raises:
        ValueError: It has not the form of a query document.
    """
    definitions: list[ast.DefinitionNode] = [
        ast.OperationDefinitionNode(
            operation=ast.OperationType(_string(item, "Operation")),
            name=_optional_name(item, "Name"),
            variable_definitions=_all(item, "VariableDefinitions", _variable_node),
            directives=_all(item, "Directives", _directive_node),
            selection_set=_selection_set(item) or ast.SelectionSetNode(selections=()),
        )
        for item in _items(form, "Operations")
    ]
    definitions += [
        ast.FragmentDefinitionNode(
            name=_name_node(_string(item, "Name")),
            type_condition=_named(_string(item, "TypeCondition")),
            directives=_all(item, "Directives", _directive_node),
            selection_set=_selection_set(item) or ast.SelectionSetNode(selections=()),
        )
        for item in _items(form, "Fragments")
    ]
    return ast.DocumentNode(definitions=tuple(definitions))


def schema_nodes(form: Value) -> ast.DocumentNode:
    """The document that `form` stands for.

    Raises:
        ValueError: It has not the form of a schema document.
    """
    definitions: list[Any] = [
        ast.SchemaDefinitionNode(
            directives=_all(item, "Directives", _directive_node),
            operation_types=_all(item, "OperationTypes", _operation_type),
        )
        for item in _items(form, "Schema")
    ]
    definitions += [
        ast.SchemaExtensionNode(
            directives=_all(item, "Directives", _directive_node),
            operation_types=_all(item, "OperationTypes", _operation_type),
        )
        for item in _items(form, "SchemaExtension")
    ]
    definitions += [
        ast.DirectiveDefinitionNode(
            name=_name_node(_string(item, "Name")),
            arguments=_all(item, "Arguments", _input_node),
            locations=tuple(_name_node(name) for name in _names(item, "Locations")),
            repeatable=_flag(item, "IsRepeatable"),
        )
        for item in _items(form, "Directives")
    ]
    definitions += [_type_node(item, 0) for item in _items(form, "Definitions")]
    definitions += [_type_node(item, 1) for item in _items(form, "Extensions")]
    return ast.DocumentNode(definitions=tuple(definitions))


def _member(form: Value, key: str, kind: type, default: Value) -> Value:
    if type(form) is not dict:
        message = f"a GraphQL document has no object where one with `{key}` should be"
        raise ValueError(message)
    value = form.get(key)
    if value is None:
        return default
    if type(value) is not kind:
        message = f"`{key}` of a GraphQL document has another type than {kind.__name__}"
        raise ValueError(message)
    return value


def _string(form: Value, key: str) -> str:
    return str(_member(form, key, str, ""))


def _flag(form: Value, key: str) -> bool:
    return bool(_member(form, key, bool, default=False))


def _items(form: Value, key: str) -> list[Value]:
    return list(_member(form, key, list, []))


def _names(form: Value, key: str) -> list[str]:
    names = _items(form, key)
    if any(type(name) is not str for name in names):
        message = f"`{key}` of a GraphQL document holds what is no string"
        raise ValueError(message)
    return names


def _all(form: Value, key: str, make: Callable[[Value], Any]) -> tuple[Any, ...]:
    return tuple(make(item) for item in _items(form, key))


def _name_node(name: str) -> ast.NameNode:
    if not name.isascii() or not name.isidentifier():
        message = f"`{name}` is no GraphQL name"
        raise ValueError(message)
    return ast.NameNode(value=name)


def _optional_name(form: Value, key: str) -> ast.NameNode | None:
    name = _string(form, key)
    return _name_node(name) if name else None


def _named(name: str) -> ast.NamedTypeNode:
    return ast.NamedTypeNode(name=_name_node(name))


def _selection_set(form: Value) -> ast.SelectionSetNode | None:
    selections = _all(form, "SelectionSet", _selection_node)
    return ast.SelectionSetNode(selections=selections) if selections else None


def _selection_node(form: Value) -> ast.SelectionNode:
    directives = _all(form, "Directives", _directive_node)
    if "TypeCondition" in form:
        condition = _string(form, "TypeCondition")
        return ast.InlineFragmentNode(
            type_condition=_named(condition) if condition else None,
            directives=directives,
            selection_set=_selection_set(form) or ast.SelectionSetNode(selections=()),
        )
    name = _name_node(_string(form, "Name"))
    if "Alias" not in form:
        return ast.FragmentSpreadNode(name=name, directives=directives)
    alias = _string(form, "Alias")
    return ast.FieldNode(
        name=name,
        alias=_name_node(alias) if alias not in ("", name.value) else None,
        arguments=_all(form, "Arguments", _argument_node),
        directives=directives,
        selection_set=_selection_set(form),
    )


def _variable_node(form: Value) -> ast.VariableDefinitionNode:
    return ast.VariableDefinitionNode(
        variable=ast.VariableNode(name=_name_node(_string(form, "Variable"))),
        type=_type_reference(form.get("Type")),
        default_value=_default(form),
        directives=_all(form, "Directives", _directive_node),
    )


def _argument_node(form: Value) -> ast.ArgumentNode:
    name = _name_node(_string(form, "Name"))
    return ast.ArgumentNode(name=name, value=_value_node(form.get("Value")))


def _directive_node(form: Value) -> ast.DirectiveNode:
    arguments = _all(form, "Arguments", _argument_node)
    return ast.DirectiveNode(name=_name_node(_string(form, "Name")), arguments=arguments)


def _type_reference(form: Value) -> ast.TypeNode:
    name = _string(form, "NamedType")
    found: Any = _named(name) if name else ast.ListTypeNode(type=_type_reference(form.get("Elem")))
    return ast.NonNullTypeNode(type=found) if _flag(form, "NonNull") else found


def _default(form: Value) -> Any:
    value = form.get("DefaultValue")
    return None if value is None else _value_node(value)


def _value_node(form: Value) -> Any:
    kind = _member(form, "Kind", int, 0)
    raw = _string(form, "Raw")
    if not 0 <= kind < len(_VALUE_KINDS):
        message = f"{kind} is no kind of GraphQL value"
        raise ValueError(message)
    if kind == _VARIABLE:
        return ast.VariableNode(name=_name_node(raw))
    if kind == _LIST:
        items = tuple(_value_node(item.get("Value")) for item in _objects(form, "Children"))
        return ast.ListValueNode(values=items)
    if kind == _OBJECT:
        fields = tuple(
            ast.ObjectFieldNode(
                name=_name_node(_string(item, "Name")), value=_value_node(item.get("Value"))
            )
            for item in _objects(form, "Children")
        )
        return ast.ObjectValueNode(fields=fields)
    if kind == _NULL:
        return ast.NullValueNode()
    if kind == _BOOLEAN:
        return ast.BooleanValueNode(value=raw == "true")
    made: Any = _VALUE_KINDS[kind]
    return made(value=raw)


def _objects(form: Value, key: str) -> list[dict[str, Value]]:
    items = _items(form, key)
    if any(type(item) is not dict for item in items):
        message = f"`{key}` of a GraphQL document holds what is no object"
        raise ValueError(message)
    return items


def _operation_type(form: Value) -> ast.OperationTypeDefinitionNode:
    return ast.OperationTypeDefinitionNode(
        operation=ast.OperationType(_string(form, "Operation")),
        type=_named(_string(form, "Type")),
    )


def _input_node(form: Value) -> ast.InputValueDefinitionNode:
    return ast.InputValueDefinitionNode(
        name=_name_node(_string(form, "Name")),
        type=_type_reference(form.get("Type")),
        default_value=_default(form),
        directives=_all(form, "Directives", _directive_node),
    )


def _field_node(form: Value) -> ast.FieldDefinitionNode:
    return ast.FieldDefinitionNode(
        name=_name_node(_string(form, "Name")),
        arguments=_all(form, "Arguments", _input_node),
        type=_type_reference(form.get("Type")),
        directives=_all(form, "Directives", _directive_node),
    )


def _enum_node(form: Value) -> ast.EnumValueDefinitionNode:
    return ast.EnumValueDefinitionNode(
        name=_name_node(_string(form, "Name")),
        directives=_all(form, "Directives", _directive_node),
    )


def _type_node(form: Value, place: int) -> Any:
    kind = _string(form, "Kind")
    if kind not in _TYPE_KINDS:
        message = f"`{kind}` is no kind of GraphQL type"
        raise ValueError(message)
    made: Any = _TYPE_KINDS[kind][place]
    members: dict[str, Any] = {
        "name": _name_node(_string(form, "Name")),
        "directives": _all(form, "Directives", _directive_node),
        "interfaces": tuple(map(_named, _names(form, "Interfaces"))),
        "types": tuple(map(_named, _names(form, "Types"))),
        "fields": _all(form, "Fields", _input_node if kind == "INPUT_OBJECT" else _field_node),
        "values": _all(form, "EnumValues", _enum_node),
    }
    return made(**{name: value for name, value in members.items() if name in made.keys})
