"""The catalogue of numbers over time that a rule may watch and a chart may draw: one name, unit and meaning for each.

- `MEASURES: Mapping[str, Measure]`, in the order in which a form lists them; `measure_of(key)`
- `heliograph.query.windows.values` computes them from the store; `drift` is what monitors found
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from heliograph.query.filters import InvalidFilterError

Source = Literal["spans", "slow", "silence", "scores", "gpus", "xids", "engines", "drift"]

SPAN_DIMENSIONS = ("service", "environment", "release", "provider", "model", "adapter", "kind", "operation")
SCORE_DIMENSIONS = ("service", "release", "model", "evaluator")
GPU_DIMENSIONS = ("host", "gpu")
ENGINE_DIMENSIONS = ("engine", "service", "host", "instance")
_DIMENSIONS: Mapping[Source, tuple[str, ...]] = {
    "spans": SPAN_DIMENSIONS,
    "slow": SPAN_DIMENSIONS,
    "silence": SPAN_DIMENSIONS,
    "scores": SCORE_DIMENSIONS,
    "gpus": GPU_DIMENSIONS,
    "xids": (*GPU_DIMENSIONS, "xid"),
    "engines": ENGINE_DIMENSIONS,
    "drift": ("monitor", "service", "signal"),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a window of time.

    `unit` is UCUM's ("1" is a share from 0 to 1). `empty` is its value where nothing was recorded: 0 of what is
    counted, None of a mean, a quantile or a share, which nothing cannot have. `worse` is the side of trouble.
    `needs` names what else has to be given: a score's `name`, a `bound`.
    """

    key: str
    title: str
    unit: str
    source: Source
    worse: Literal["above", "below"] = "above"
    empty: float | None = None
    needs: tuple[str, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What it may be grouped and narrowed by."""
        return _DIMENSIONS[self.source]

    @property
    def is_share(self) -> bool:
        """Whether it is a share of bad events, so that an error budget can be spent."""
        return self.key in {"error_rate", "slow_rate", "ttft_slow_rate", "score_below", "score_unscored"}

    @property
    def takes_filter(self) -> bool:
        """Whether a text of the filter language may pick the spans that it is of."""
        return self.source in ("spans", "slow")


_ALL = (
    Measure("latency_p50", "Latency, median", "s", "spans"),
    Measure("latency_p95", "Latency, 95th percentile", "s", "spans"),
    Measure("latency_p99", "Latency, 99th percentile", "s", "spans"),
    Measure("ttft_p50", "Time to first token, median", "s", "spans"),
    Measure("ttft_p95", "Time to first token, 95th percentile", "s", "spans"),
    Measure("ttft_p99", "Time to first token, 99th percentile", "s", "spans"),
    Measure("tpot_p50", "Time per output token, median", "s", "spans"),
    Measure("tpot_p95", "Time per output token, 95th percentile", "s", "spans"),
    Measure("slow_rate", "Share slower than a bound in seconds", "1", "slow", needs=("bound",)),
    Measure("ttft_slow_rate", "Share with a first token later than a bound in seconds", "1", "slow", needs=("bound",)),
    Measure("error_rate", "Error rate", "1", "spans"),
    Measure("errors", "Errors", "{error}", "spans", empty=0.0),
    Measure("requests", "Requests", "{request}", "spans", empty=0.0),
    Measure("request_rate", "Requests a second", "{request}/s", "spans", empty=0.0),
    Measure("llm_calls", "Model calls", "{call}", "spans", empty=0.0),
    Measure("input_tokens", "Input tokens", "{token}", "spans", empty=0.0),
    Measure("output_tokens", "Output tokens", "{token}", "spans", empty=0.0),
    Measure("tokens", "Tokens", "{token}", "spans", empty=0.0),
    Measure("cost", "Cost", "USD", "spans", empty=0.0),
    Measure("silence", "Minutes without a span", "min", "silence"),
    Measure("score_mean", "Score, mean", "1", "scores", worse="below", needs=("name",)),
    Measure("score_below", "Share of scores below a bound", "1", "scores", needs=("name", "bound")),
    Measure("score_unscored", "Share that could not be scored", "1", "scores", needs=("name",)),
    Measure("scores", "Scores", "{score}", "scores", worse="below", empty=0.0, needs=("name",)),
    Measure("drift", "Drift in the newest look of a monitor (1) or none (0)", "1", "drift"),
    Measure("gpu_utilization", "GPU utilization", "1", "gpus"),
    Measure("gpu_temperature", "GPU temperature, highest", "Cel", "gpus"),
    Measure("gpu_power", "GPU power", "W", "gpus"),
    Measure("gpu_memory", "GPU memory in use", "1", "gpus"),
    Measure("gpu_throttled", "GPU held back by heat or hardware, share of time", "1", "gpus"),
    Measure("gpu_ecc", "GPU memory errors not corrected", "{error}", "gpus", empty=0.0),
    Measure("gpu_lost", "GPU lost or stuck (1) or well (0)", "1", "gpus"),
    Measure("gpu_xid", "XID errors", "{error}", "xids", empty=0.0),
    Measure("kv_usage", "KV cache in use, highest", "1", "engines"),
    Measure("waiting", "Requests in the engine's queue, most", "{request}", "engines"),
    Measure("running", "Requests that run in the engine, most", "{request}", "engines"),
)
# Of the unit 1 and no share of anything: a mean of scores, and what is 1 or 0.
NO_SHARES = frozenset({"score_mean", "drift", "gpu_lost"})
MEASURES: Mapping[str, Measure] = {measure.key: measure for measure in _ALL}


def measure_of(key: str) -> Measure:
    """Return a measure. Raises InvalidFilterError."""
    if key not in MEASURES:
        raise InvalidFilterError("measure", f"must be one of {', '.join(MEASURES)}")
    return MEASURES[key]
