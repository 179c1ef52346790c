"""What serving engines tell only in their answers, put on the span of the call: Ollama, llama.cpp, TGI and LoRAX.

These have no telemetry of their own by request, or none at all; a caller that holds the answer is the only one who can
pass it on. Values that are no numbers are left out, and nothing here raises into the caller's code.
"""

import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span

logger = logging.getLogger("heliograph.sdk")

_NS, _MS = 1e-9, 1e-3
# Field of the answer -> attribute and factor. Durations become seconds, as vLLM's span names have them.
_OLLAMA = {
    "prompt_eval_count": ("gen_ai.usage.input_tokens", None),
    "eval_count": ("gen_ai.usage.output_tokens", None),
    "prompt_eval_duration": ("gen_ai.latency.time_in_model_prefill", _NS),
    "eval_duration": ("gen_ai.latency.time_in_model_decode", _NS),
    "load_duration": ("ollama.load_duration", _NS),
    "total_duration": ("gen_ai.latency.e2e", _NS),
}
_LLAMA_CPP = {
    "prompt_n": ("llama_cpp.prompt_n", None),
    "cache_n": ("gen_ai.usage.cache_read.input_tokens", None),
    "predicted_n": ("gen_ai.usage.output_tokens", None),
    "prompt_ms": ("gen_ai.latency.time_in_model_prefill", _MS),
    "predicted_ms": ("gen_ai.latency.time_in_model_decode", _MS),
    "draft_n": ("llama_cpp.draft_n", None),
    "draft_n_accepted": ("llama_cpp.draft_n_accepted", None),
}
# TGI's headers and those that LoRAX adds. Times are milliseconds; the platform reads them under the names that HTTP
# instrumentations give response headers.
_HEADERS = (
    *("x-total-time", "x-validation-time", "x-queue-time", "x-inference-time", "x-time-per-token"),
    *("x-time-to-first-token", "x-time-per-output-token", "x-skipped-tokens"),
    *("x-adapter-id", "x-adapter-source", "x-model-id"),
)
_COUNTS = {"x-prompt-tokens": "gen_ai.usage.input_tokens", "x-generated-tokens": "gen_ai.usage.output_tokens"}
# A header's text; an adapter's id is a repository's name.
_MAX_CHARACTERS = 500


def record_ollama(answer: Any, span: Span | None = None) -> None:
    """Put the counts and times of an answer of Ollama on a span, the current one without `span`.

    `answer` is the JSON object, or the client's response object; of a stream its last part, which has `done`.
    """
    fields = _fields(answer)
    _record(fields, _OLLAMA, span)
    model = fields.get("model")
    if isinstance(model, str):
        _span(span).set_attribute("gen_ai.response.model", model[:_MAX_CHARACTERS])


def record_llama_cpp(answer: Any, span: Span | None = None) -> None:
    """Put the `timings` of an answer of llama.cpp's server on a span, the current one without `span`.

    The tokens of the prompt are those that were computed and those that were in the cache.
    """
    timings = _fields(_fields(answer).get("timings"))
    _record(timings, _LLAMA_CPP, span)
    counts = [timings.get(name, 0) for name in ("prompt_n", "cache_n")]
    if "prompt_n" in timings and all(_is_number(count) for count in counts):
        _span(span).set_attribute("gen_ai.usage.input_tokens", int(sum(counts)))


def record_headers(headers: Mapping[str, str], span: Span | None = None) -> None:
    """Put the headers of an answer of TGI or LoRAX on a span, the current one without `span`."""
    lower = {str(key).lower(): value for key, value in headers.items()}
    target = _span(span)
    for name in _HEADERS:
        value = lower.get(name)
        if isinstance(value, str) and value:
            target.set_attribute(f"http.response.header.{name}", [value[:_MAX_CHARACTERS]])
    for name, attribute in _COUNTS.items():
        value = lower.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) < 12:
            target.set_attribute(attribute, int(value))


def on_response(response: Any, *_: Any, **__: Any) -> None:
    """A hook for an HTTP client, which calls `record_headers` with each answer.

    `httpx.Client(event_hooks={"response": [on_response]})`, also as the `http_client` of OpenAI's client;
    `requests.Session().hooks["response"].append(on_response)`.
    """
    headers = getattr(response, "headers", None)
    if headers is None:
        logger.warning("heliograph: %s has no headers to record", type(response).__name__)
        return
    record_headers(headers)


async def on_async_response(response: Any) -> None:
    """The same for `httpx.AsyncClient`."""
    on_response(response)


def _span(span: Span | None) -> Span:
    return span if span is not None else trace.get_current_span()


def _fields(answer: Any) -> Mapping[str, Any]:
    """The answer as a mapping: a client's response object has one inside."""
    if isinstance(answer, Mapping):
        return answer
    dump = getattr(answer, "model_dump", None)
    found = dump() if callable(dump) else getattr(answer, "__dict__", {})
    return found if isinstance(found, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18


def _record(fields: Mapping[str, Any], table: Mapping[str, tuple[str, float | None]], span: Span | None) -> None:
    target = _span(span)
    for name, (attribute, factor) in table.items():
        value = fields.get(name)
        if value is not None and _is_number(value):
            target.set_attribute(attribute, int(value) if factor is None else value * factor)
