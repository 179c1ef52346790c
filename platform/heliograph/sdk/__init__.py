"""What a user's service imports: `init()` once, `@observe` where it helps, `score()` for feedback.

`session()`, `user()`, `prompt()` and `tags()` mark what happens inside; `flush()` and `stats()` are for functions that
are frozen between calls and for those who want to know. `record_ollama`, `record_llama_cpp`, `record_headers` and the
hooks `on_response` and `on_async_response` pass on what serving engines tell in their answers only. Depends on
OpenTelemetry only. Nothing here raises into the caller's code or waits for the network, but for `flush` and for
`evaluate()`, which calls a function for each row of a data set.
"""

from heliograph.sdk.contexts import prompt, session, tags, user
from heliograph.sdk.engines import on_async_response, on_response, record_headers, record_llama_cpp, record_ollama
from heliograph.sdk.evaluation import Evaluation, ExperimentError, Row, evaluate
from heliograph.sdk.observation import observe
from heliograph.sdk.scoring import score
from heliograph.sdk.setup import flush, init, stats

__all__ = [
    "Evaluation",
    "ExperimentError",
    "Row",
    "evaluate",
    "flush",
    "init",
    "observe",
    "on_async_response",
    "on_response",
    "prompt",
    "record_headers",
    "record_llama_cpp",
    "record_ollama",
    "score",
    "session",
    "stats",
    "tags",
    "user",
]
