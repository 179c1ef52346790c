"""Answers that fit into a model's context, however much the project holds."""

import json
from typing import Any

# About 15,000 tokens: some answers fit into a context beside the conversation.
MAX_CHARACTERS = 60_000
# Texts are shortened before rows are left off: which rows there are is usually the question.
_TEXT_LIMITS = (8_000, 2_000, 500, 120)
_MAX_DEPTH = 12


def bounded(answer: Any) -> str:
    """Return an answer as JSON of up to 60,000 characters; what was shortened or left off says so."""
    for limit in _TEXT_LIMITS:
        text = _json(_shortened(answer, limit, 0))
        if len(text) <= MAX_CHARACTERS:
            return text
    return _fewer(_shortened(answer, _TEXT_LIMITS[-1], 0))


def _fewer(answer: Any) -> str:
    """Halve the longest list until the answer fits."""
    left_off = 0
    while len(text := _json(answer)) > MAX_CHARACTERS - 200:
        longest = max(_lists(answer), key=len, default=[])
        if len(longest) < 2:
            return _json(
                {"note": "The answer is too large: ask for less of it.", "beginning": text[: MAX_CHARACTERS // 4]}
            )
        keep = len(longest) // 2
        left_off += len(longest) - keep
        del longest[keep:]
    note = f"{left_off} rows were left off: narrow the question."
    return _json({**answer, "note": note} if isinstance(answer, dict) else {"items": answer, "note": note})


def _lists(value: Any) -> list[list[Any]]:
    if isinstance(value, list):
        return [value, *(found for each in value for found in _lists(each))]
    return [found for each in value.values() for found in _lists(each)] if isinstance(value, dict) else []


def _shortened(value: Any, limit: int, depth: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else f"{value[:limit]}… ({len(value) - limit} more characters)"
    if depth >= _MAX_DEPTH:
        return "…" if isinstance(value, (dict, list)) else value
    if isinstance(value, dict):
        # What is not there says nothing and costs tokens.
        return {
            key: _shortened(each, limit, depth + 1) for key, each in value.items() if each not in (None, "", [], {})
        }
    return [_shortened(each, limit, depth + 1) for each in value] if isinstance(value, list) else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
