"""Hugging Face's text-generation-inference, and LoRAX: durations as Rust prints them, `1.234s`, `56.7ms`, `12.3µs`.

https://github.com/huggingface/text-generation-inference/blob/main/router/src/server.rs
"""

import re

from collectors.semconv.convert import Value, label, rust_duration
from collectors.semconv.table import Dialect, Source

_ADAPTER = re.compile(r'\badapter_id: Some\("([^"\\]{1,512})"\)')


def adapter_of_parameters(value: Value) -> str | None:
    """The adapter in a request's parameters, which LoRAX writes as Rust prints the structure."""
    found = _ADAPTER.search(value) if isinstance(value, str) else None
    return label(found[1]) if found else None


DIALECT = Dialect(
    name="tgi",
    fields={
        "queue_ns": (Source("queue_time", rust_duration),),
        "decode_ns": (Source("inference_time", rust_duration),),
        "adapter": (Source("parameters", adapter_of_parameters),),
    },
)
