"""NVIDIA's Triton with the TensorRT-LLM backend, and `trtllm-serve`.

Triton's own times are sums in microseconds, so means; its one histogram, of the first response, is in milliseconds.
`trtllm-serve` (with `return_perf_metrics`, at `/prometheus/metrics`) writes the same names with and without `trtllm_`,
by version.
"""

from collectors.serving.model import Engine, Level, LevelRatio, Pick, Quantiles, Rate, Ratio, Way

_KV = "nv_trt_llm_kv_cache_block_metrics"
_REQUESTS = "nv_trt_llm_request_metrics"

TRITON = Engine(
    name="triton",
    title="Triton",
    prefixes=("nv_inference_", "nv_trt_llm_"),
    ways={
        "ttft": (Quantiles(Pick("nv_inference_first_response_histogram_ms"), factor=1e-3),),
        "e2e": (
            Ratio(
                Pick("nv_inference_request_duration_us"),
                (Pick("nv_inference_request_success"), Pick("nv_inference_request_failure")),
                factor=1e-6,
                note="mean of the interval",
            ),
        ),
        "queue": (
            Ratio(
                Pick("nv_inference_queue_duration_us"),
                (Pick("nv_inference_request_success"), Pick("nv_inference_request_failure")),
                factor=1e-6,
                note="mean of the interval",
            ),
        ),
        "running": (Level(Pick(_REQUESTS, {"request_type": "active"})),),
        "waiting": (
            Level(Pick(_REQUESTS, {"request_type": "waiting"})),
            Level(Pick("nv_inference_pending_request_count")),
        ),
        "kv_usage": (
            LevelRatio(Pick(_KV, {"kv_cache_block_type": "used"}), Pick(_KV, {"kv_cache_block_type": "max"})),
        ),
        "batch": (
            Ratio(
                Pick("nv_inference_count"),
                (Pick("nv_inference_exec_count"),),
                note="requests an execution",
            ),
        ),
        "requests_s": (Rate(Pick("nv_inference_request_success")),),
    },
)


def _either(name: str) -> tuple[Way, ...]:
    return (Quantiles(Pick(f"trtllm_{name}")), Quantiles(Pick(name)))


_SERVED = (
    "e2e_request_latency_seconds",
    "time_to_first_token_seconds",
    "time_per_output_token_seconds",
    "request_queue_time_seconds",
)
TRTLLM = Engine(
    name="trtllm",
    title="TensorRT-LLM",
    prefixes=("trtllm_",),
    names=frozenset({*_SERVED, "request_success_total"}),
    ways={
        "e2e": _either(_SERVED[0]),
        "ttft": _either(_SERVED[1]),
        "tpot": _either(_SERVED[2]),
        "queue": _either(_SERVED[3]),
        "requests_s": (Rate(Pick("trtllm_request_success_total")), Rate(Pick("request_success_total"))),
    },
)
