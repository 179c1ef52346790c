"""Arguments and results as texts: bounded in what is looked at, not only in what is kept, and never raising."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence, Set
from json.encoder import encode_basestring as _quoted
from typing import Any

# Enough to read, too little to fill a disk with one careless argument.
MAX_VALUE_CHARACTERS = 20_000
# Looking at a list of a million numbers would take the caller longer than the function that is watched.
_MAX_ITEMS, _MAX_DEPTH, _MAX_VALUES = 100, 6, 1_000
_CUT = "…"
_PLAIN = (str, int, float, bool, type(None))
# As json has them.
_NUMBERS: Mapping[type, Callable[[Any], str]] = {
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _: "null",
    float: json.dumps,  # which knows what is not finite
}


def text_of(value: object) -> str:
    """Return a value as text for an attribute: texts as they are, the rest as JSON, both cut at 20,000 characters.

    Of containers up to 100 items are looked at, 6 deep and 1,000 in all; what JSON does not know is shown as it prints.
    """
    if isinstance(value, str):
        return value[:MAX_VALUE_CHARACTERS]
    try:
        flat = _flat(value)
        return (_ENCODER.encode(_Trimmed().of(value, 0)) if flat is None else flat)[:MAX_VALUE_CHARACTERS]
    except Exception as error:  # noqa: BLE001  # a value's own methods may raise anything
        return f"<{type(value).__name__}, not shown: {type(error).__name__}>"


def _flat(value: object) -> str | None:
    """Return the JSON of a number or of a flat dict of texts and numbers, else None.

    That is what most calls have, and `json.dumps` takes three times as long for it.
    """
    if type(value) is not dict or len(value) > _MAX_ITEMS:
        return _NUMBERS[type(value)](value) if type(value) in _NUMBERS else None
    parts = []
    for key, inner in value.items():
        show = _quoted if type(inner) is str else _NUMBERS.get(type(inner))
        if show is None or type(key) is not str or (show is _quoted and len(inner) > MAX_VALUE_CHARACTERS):
            return None
        parts.append(f"{_quoted(key)}: {show(inner)}")
    return f"{{{', '.join(parts)}}}"


class _Trimmed:
    """Copies a value with the bounds; one object a value, as it counts what it has seen."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if isinstance(value, str):
            return value if len(value) <= MAX_VALUE_CHARACTERS else value[:MAX_VALUE_CHARACTERS]
        if isinstance(value, _PLAIN):
            return value
        if depth >= _MAX_DEPTH or self._left <= 0:
            return _CUT
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        elif hasattr(value, "model_fields") and not isinstance(value, type):
            value = dict(value)  # pydantic's models iterate over their fields
        if isinstance(value, Mapping):
            found = {}
            for number, (key, inner) in enumerate(value.items()):
                if number >= _MAX_ITEMS or self._left <= 0:
                    found[_CUT] = len(value) - number
                    break
                found[str(key)] = self.of(inner, depth + 1)
            return found
        if isinstance(value, (list, tuple, Set)):
            return self._items(value, depth)
        return _shown(value)

    def _items(self, value: Sequence[Any] | Set[Any], depth: int) -> list[Any]:
        found = []
        for number, inner in enumerate(value):
            if number >= _MAX_ITEMS or self._left <= 0:
                found.append(f"{_CUT} {len(value) - number} more")
                break
            found.append(self.of(inner, depth + 1))
        return found


def _shown(value: Any) -> str:
    """Return what has no JSON: of arrays and tables their shape, since printing one may take seconds."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"<{type(value).__name__} {shape}>"
    return repr(value)[:MAX_VALUE_CHARACTERS]


_ENCODER = json.JSONEncoder(default=_shown, ensure_ascii=False)
