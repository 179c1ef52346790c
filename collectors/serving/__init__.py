"""Engines that serve models: what their own metrics are among the canonical ones.

One table, a file an engine; raw points keep the names that the engine gives them, and `heliograph.query.serving` reads
the canonical ones out of them. Ollama has no metrics at all: its times are in its answers, and the SDK puts these on
spans.
"""

import re
from collections.abc import Iterable

from collectors.serving.llama_cpp import ENGINE as LLAMA_CPP
from collectors.serving.model import Engine, Version
from collectors.serving.sglang import ENGINE as SGLANG
from collectors.serving.tgi import LORAX, TGI
from collectors.serving.triton import TRITON, TRTLLM
from collectors.serving.vllm import ENGINE as VLLM

ENGINES: tuple[Engine, ...] = (VLLM, SGLANG, TGI, LORAX, LLAMA_CPP, TRITON, TRTLLM)
BY_NAME = {engine.name: engine for engine in ENGINES}
# Resource attributes that a target's labels, or a sender, set.
ENGINE_KEY, VERSION_KEY = "serving.engine.name", "serving.engine.version"
_NUMBERS = re.compile(r"v?(\d{1,6}(?:\.\d{1,6}){0,3})")


def engine_of(name: str) -> Engine | None:
    """Return the engine whose metric this is, by how it begins; None for any other metric."""
    for engine in ENGINES:
        if name.startswith(engine.prefixes) or name in engine.names:
            return engine
    return None


def detect(names: Iterable[str]) -> Engine | None:
    """Return the engine of a page by the names on it, the first that is known."""
    return next((engine for name in names if (engine := engine_of(name)) is not None), None)


def spellings(name: str) -> tuple[str, ...]:
    """Return how a metric may be spelled where it came by OTLP: without `_total`, and with `_` for `:`."""
    plain = name.removesuffix("_total")
    return tuple(dict.fromkeys((name, plain, name.replace(":", "_"), plain.replace(":", "_"))))


def version_of(text: str) -> Version | None:
    """Return a version as numbers, `0.11.2rc1` as (0, 11, 2); None where it begins with none."""
    match = _NUMBERS.match(text.strip())
    return tuple(map(int, match[1].split("."))) if match else None
