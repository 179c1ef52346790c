"""Hugging Face's text-generation-inference, and LoRAX: durations as Rust prints them, `1.234s`, `56.7ms`, `12.3µs`.

https://github.com/huggingface/text-generation-inference/blob/main/router/src/server.rs
"""

import re

from collectors.semconv.convert import Value, label, rust_duration
from collectors.semconv.request import REQUEST
from collectors.semconv.table import Dialect, Source

_ADAPTER = re.compile(r'\badapter_id: Some\("([^"\\]{1,512})"\)')
_NUMBER = re.compile(r"\b(\w{1,32}): Some\((-?[\d.]{1,24})\)")
_NAMES = {
    "max_new_tokens": "max_tokens",
    **{name: name for name in ("temperature", "top_p", "top_k", "seed", "repetition_penalty", "frequency_penalty")},
}


def of_parameters(value: Value) -> dict[str, str]:
    """What a request's parameters say, which the server writes as Rust prints the structure."""
    if not isinstance(value, str):
        return {}
    found: dict[str, str] = {}
    adapter = _ADAPTER.search(value)
    if adapter and (name := label(adapter[1])) is not None:
        found["adapter"] = name
    for key, said in _NUMBER.findall(value):
        field = _NAMES.get(key)
        if field is not None and (text := REQUEST[field](said)) is not None:
            found.setdefault(f"request.{field}", text)
    return found


DIALECT = Dialect(
    name="tgi",
    fields={
        "queue_ns": (Source("queue_time", rust_duration),),
        "decode_ns": (Source("inference_time", rust_duration),),
        "several": (Source("parameters", of_parameters),),
    },
)
