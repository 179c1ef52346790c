"""Which settings an evaluator takes, as a JSON schema, read from its source without importing it.

A web process offers and checks settings and must not load torch to do so. A test holds what is read here against the
functions themselves.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from evaluators.registry import EVALUATORS, UnknownEvaluatorError, names

# Where an evaluator runs is the operator's to say, never a setting that is stored with a rule.
OPERATORS_OWN = frozenset({"device", "batch_tokens", "compile_model"})
_TYPES = {"str": "string", "float": "number", "int": "integer", "bool": "boolean", "Any": None}


class SignatureError(TypeError):
    """An evaluator's function has a setting whose annotation says nothing that a schema can."""


@cache
def argument_schema(name: str) -> Mapping[str, Any]:
    """The JSON schema of the settings of evaluator `name`: an object without additional properties.

    Raises UnknownEvaluatorError, and SignatureError for an annotation that is not understood.
    """
    if name not in EVALUATORS:
        raise UnknownEvaluatorError(f"no evaluator is called {name!r}; there are {', '.join(names())}")
    module, _, function = EVALUATORS[name].factory.partition(":")
    tree = ast.parse(_source(module))
    (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    properties: dict[str, Any] = {}
    required = []
    given = found.args
    first = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    for argument, default in zip(given.args + given.kwonlyargs, first + given.kw_defaults, strict=True):
        if argument.arg in OPERATORS_OWN or argument.arg in EVALUATORS[name].not_settings:
            continue
        if argument.annotation is None:
            raise SignatureError(f"{name}: {argument.arg} has no annotation")
        properties[argument.arg] = _schema_of(argument.annotation, f"{name}: {argument.arg}")
        if default is None:
            required.append(argument.arg)
        elif (value := ast.literal_eval(default)) is not None:
            properties[argument.arg]["default"] = list(value) if isinstance(value, tuple) else value
    return {
        "type": "object",
        "description": ast.get_docstring(found) or EVALUATORS[name].summary,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def argument_faults(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """What is wrong with settings of evaluator `name`, each with its path; empty where nothing is.

    Raises UnknownEvaluatorError.
    """
    errors = Draft202012Validator(argument_schema(name)).iter_errors(dict(arguments))
    return [f"{error.json_path.removeprefix('$').removeprefix('.')}: {error.message[:200]}" for error in errors]


def _source(module: str) -> str:
    # Finding a module would import the package that it stands in; the packages above evaluators hold no code.
    package, _, last = module.rpartition(".")
    parent = importlib.util.find_spec(package)
    if parent is None or not parent.submodule_search_locations:
        raise SignatureError(f"there is no package {package}")
    folder = Path(parent.submodule_search_locations[0])
    file = folder / last / "__init__.py" if (folder / last).is_dir() else folder / f"{last}.py"
    return file.read_text("utf-8")


def _schema_of(node: ast.expr, place: str) -> dict[str, Any]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        # Left out and null are the same to every evaluator.
        sides = [side for side in (node.left, node.right) if not _is_none(side)]
        schemas = [_schema_of(side, place) for side in sides]
        if len(sides) == 1:
            only = schemas[0]
            if "enum" in only:
                return {"enum": [*only["enum"], None]}
            return {**only, "type": [only["type"], "null"]} if "type" in only else only
        return {"anyOf": schemas}
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return _generic(node.value.id, node.slice, place)
    if isinstance(node, ast.Name) and node.id in _TYPES:
        kind = _TYPES[node.id]
        return {"type": kind} if kind else {}
    raise SignatureError(f"{place}: the annotation {ast.unparse(node)} is not understood")


def _generic(outer: str, inner: ast.expr, place: str) -> dict[str, Any]:
    if outer == "Literal":
        values = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        return {"enum": [ast.literal_eval(value) for value in values]}
    if outer in {"Sequence", "list"}:
        return {"type": "array", "items": _schema_of(inner, place)}
    if outer in {"Mapping", "dict"}:
        return {"type": "object"}
    raise SignatureError(f"{place}: {outer}[...] is not understood")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
