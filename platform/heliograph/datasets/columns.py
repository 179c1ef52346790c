"""Which column of a table becomes which part of a row."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.datasets.content import InvalidRowError, RowContent

# What columns are called in the wild, in the order of preference.
_USUAL = {
    "input": ("input", "inputs", "question", "prompt", "query", "messages", "instruction"),
    "expected": ("expected", "expected_output", "output", "outputs", "answer", "reference", "ground_truth", "target"),
    "context": ("context", "contexts", "documents", "passages", "knowledge"),
    "metadata": ("metadata", "meta"),
    "key": ("id", "key", "row_id", "item_id"),
    "split": ("split", "fold", "subset"),
}
PARTS = tuple(_USUAL)
# Of an export: the span that a row was copied from.
_SOURCE = ("trace_id", "span_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns by part. One column is the part itself; several become an object. `metadata` is always an object."""

    input: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    key: str = ""
    split: str = ""
    # Texts that are JSON objects or lists become these; a table of JSON columns says so.
    json_cells: bool = False

    def named(self) -> set[str]:
        """Return every column that is used."""
        return {*self.input, *self.expected, *self.context, *self.metadata, self.key, self.split} - {""}


def guess(names: Sequence[str]) -> Columns:
    """Return what columns of these names usually mean; what is left over is metadata."""
    lower = {name.lower(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for part, usual in _USUAL.items():
        name = next((lower[each] for each in usual if each in lower), "")
        if name and name not in found.values():
            found[part] = name
    if "input" not in found and names:
        found["input"] = next((name for name in names if name not in found.values()), names[0])
    rest = [name for name in names if name not in (*found.values(), *_SOURCE)]
    one = {part: (name,) for part, name in found.items()}
    return Columns(
        input=one.get("input", ()),
        expected=one.get("expected", ()),
        context=one.get("context", ()),
        metadata=(*one.get("metadata", ()), *rest),
        key=found.get("key", ""),
        split=found.get("split", ""),
    )


def check(columns: Columns, names: Iterable[str]) -> None:
    """Raise InvalidRowError for a column that the table lacks, or without an input."""
    missing = columns.named() - set(names)
    if missing:
        raise InvalidRowError("columns", f"the file has no {', '.join(sorted(missing))}; it has {', '.join(names)}")
    if not columns.input:
        raise InvalidRowError("input", "needs a column")


def row_of(values: Mapping[str, Any], columns: Columns) -> RowContent:
    """Return the row that a record makes. Raises InvalidRowError."""
    read = _json_in if columns.json_cells else _as_it_is
    metadata: dict[str, Any] = {}
    for name in columns.metadata:
        value = read(values.get(name))
        # A file that was exported from here has its metadata as one object.
        if isinstance(value, dict) and name.lower() in _USUAL["metadata"]:
            metadata |= value
        elif value not in (None, ""):
            metadata[name] = value
    return RowContent(
        input=_part(values, columns.input, read),
        expected=_part(values, columns.expected, read),
        context=_part(values, columns.context, read),
        metadata=metadata,
        key=_text(values.get(columns.key)),
        split=_text(values.get(columns.split)) if columns.split else None,
        **{name: _text(values.get(name)) for name in _SOURCE if name not in columns.named()},
    )


def _part(values: Mapping[str, Any], names: tuple[str, ...], read: Any) -> Any:
    if len(names) == 1:
        value = read(values.get(names[0]))
        return None if value == "" else value
    found = {name: read(values.get(name)) for name in names}
    return {name: value for name, value in found.items() if value not in (None, "")} or None


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _as_it_is(value: Any) -> Any:
    return value


def _json_in(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
