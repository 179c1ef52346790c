"""What a user's service imports: `init()` once, `@observe` where it helps, `score()` for feedback.

`record_ollama`, `record_llama_cpp`, `record_headers` and the hooks `on_response` and `on_async_response` pass on what
serving engines tell in their answers only. Depends on OpenTelemetry only. Nothing here raises into the caller's code
once `init` has returned.
"""

from heliograph.sdk.engines import on_async_response, on_response, record_headers, record_llama_cpp, record_ollama
from heliograph.sdk.observation import observe, session
from heliograph.sdk.scoring import score
from heliograph.sdk.setup import init

__all__ = [
    "init",
    "observe",
    "on_async_response",
    "on_response",
    "record_headers",
    "record_llama_cpp",
    "record_ollama",
    "score",
    "session",
]
