"""Hugging Face's text-generation-inference: durations as Rust prints them, `1.234s`, `56.7ms`, `12.3µs`.

https://github.com/huggingface/text-generation-inference/blob/main/router/src/server.rs
"""

from collectors.semconv.convert import rust_duration
from collectors.semconv.table import Dialect, Source

DIALECT = Dialect(
    name="tgi",
    fields={
        "queue_ns": (Source("queue_time", rust_duration),),
        "decode_ns": (Source("inference_time", rust_duration),),
    },
)
