"""What a caller asked for beside its model and messages, and what the server says of itself: values as short texts.

They stand together in the columns `request` and `response`, by the names of OpenTelemetry's conventions. One number has
one text whatever a sender made of it: 1, 1.0 and "1" are `1`, and what was single precision on its way is rounded to
six digits, so that equal settings are found equal.
"""

import math
from collections.abc import Mapping
from typing import Any

from collectors.semconv.convert import Converter, count, from_json, json_label, label, labels
from collectors.text import to_json

# As a low-cardinality label; more is no setting but content, and stays in its attribute.
_MAX_CHARS = 512
# OpenAI takes 4 stop sequences, Anthropic and Gemini more.
_MAX_STOPS = 64
_MAX_SEED = 2**64 - 1


def number(value: Any) -> str | None:
    """A number, possibly as a text."""
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if not abs(value) < 1e15:
        return None
    rounded = float(f"{value:.6g}") if isinstance(value, float) and not value.is_integer() else value
    return str(int(rounded)) if rounded == int(rounded) else repr(rounded)


def whole(value: Any) -> str | None:
    """A whole number that is not negative: -1 stands for "not set" in several libraries."""
    found = count(value)
    return None if found is None else str(found)


def seed(value: Any) -> str | None:
    """A whole number of up to 64 bits, of either sign."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 20 or not text.removeprefix("-").isdecimal():
            return None
        value = int(text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return str(value) if abs(value) <= _MAX_SEED else None


def flag(value: Any) -> str | None:
    """Yes or no; LiteLLM writes Python's `True`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value.strip().lower() if isinstance(value, str) else ""
    return text if text in ("true", "false") else None


def stops(value: Any) -> str | None:
    """Stop sequences as a JSON list; blanks and line ends in them are kept."""
    if isinstance(value, str):
        parsed = from_json(value)
        value = parsed if isinstance(parsed, list) else [value]
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_STOPS:
        return None
    if not all(isinstance(each, str) and each for each in value):
        return None
    text = to_json(value)
    return text if len(text) <= _MAX_CHARS else None


def names(value: Any) -> str | None:
    """One name or several, with commas between them."""
    found = labels(value)
    text = ", ".join(found) if found else ""
    return text if 0 < len(text) <= _MAX_CHARS else None


def choice(value: Any) -> str | None:
    """A name, or an object that has one: the function that must be called, else the type."""
    parsed = from_json(value)
    if not isinstance(parsed, dict):
        return label(parsed)
    for key in ("function", "json_schema", "tool"):
        inner = parsed.get(key)
        if isinstance(inner, dict) and (name := label(inner.get("name"))) is not None:
            return name
    return label(parsed.get("name", parsed.get("toolName"))) or label(parsed.get("type"))


REQUEST: Mapping[str, Converter] = {
    "temperature": number,
    "top_p": number,
    "top_k": whole,
    "max_tokens": whole,
    "stop_sequences": stops,
    "seed": seed,
    "frequency_penalty": number,
    "presence_penalty": number,
    "repetition_penalty": number,
    "choice_count": whole,
    "stream": flag,
    "output_type": json_label,
    "response_format": choice,
    "tool_choice": choice,
    "reasoning_effort": json_label,
    "service_tier": json_label,
    "encoding_formats": names,
    "dimensions": whole,
}
RESPONSE: Mapping[str, Converter] = {
    "system_fingerprint": json_label,
    # Of the tiers asked for, the one that answered.
    "service_tier": json_label,
}
# Tokens of input and output by what they stand for, where a sender counts them apart.
MODALITIES = (
    *("text_input", "text_output", "audio_input", "audio_output", "image_input", "image_output"),
    *("video_input", "video_output"),
)
# Canonical fields by the prefix of their names, as the columns of those names hold them.
REQUEST_FIELDS = {f"request.{name}": name for name in REQUEST}
RESPONSE_FIELDS = {f"response.{name}": name for name in RESPONSE}
TOKEN_FIELDS = {f"tokens.{name}": name for name in MODALITIES}

_API_NAMES = {
    "temperature": ("temperature",),
    "top_p": ("top_p", "topP"),
    "top_k": ("top_k", "topK"),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens"),
    "stop_sequences": ("stop", "stop_sequences", "stopSequences"),
    "seed": ("seed",),
    "frequency_penalty": ("frequency_penalty", "frequencyPenalty"),
    "presence_penalty": ("presence_penalty", "presencePenalty"),
    "repetition_penalty": ("repetition_penalty",),
    "choice_count": ("n", "candidateCount", "candidate_count"),
    "stream": ("stream",),
    "response_format": ("response_format",),
    "tool_choice": ("tool_choice",),
    "reasoning_effort": ("reasoning_effort", "reasoning.effort"),
    "service_tier": ("service_tier",),
    "encoding_formats": ("encoding_format",),
    "dimensions": ("dimensions",),
}
# What the keys of an API's request say, as `convert.Spread` reads an object of them.
PARAMETERS: Mapping[str, tuple[str, Converter]] = {
    key: (f"request.{name}", REQUEST[name]) for name, keys in _API_NAMES.items() for key in keys
}


def gathered(fields: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, Any]:
    """Those of some fields that are there, by their short names; counts of 0 say nothing."""
    return {wanted[field]: value for field, value in fields.items() if field in wanted and value}
