"""Writes tests/serving/pages/*.prom: `python -m tests.serving.build_pages`.

None of these engines runs here (they need GPUs, or binaries that cannot be had), so no page is a recording. Each is
constructed: the names, kinds and labels that the version named in `PAGES` gives its metrics, written by the same client
library that the Python engines use, in the plain style of the Rust and C++ ones. Values are made up and consistent.
"""

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

FOLDER = Path(__file__).parent / "pages"
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def vllm(version: tuple[int, ...]) -> str:
    """vLLM after its renaming (0.33.0) or before it (0.8.5)."""
    registry = CollectorRegistry()
    labels = {"model_name": "meta-llama/Llama-3.1-8B-Instruct", "engine": "0"}
    is_new = version >= (0, 11)

    def histogram(name: str, *values: float, buckets: tuple[float, ...] = SECONDS) -> None:
        made = Histogram(f"vllm:{name}", name, labels, buckets=buckets, registry=registry).labels(**labels)
        for value in values:
            made.observe(value)

    def gauge(name: str, value: float, **more: str) -> None:
        Gauge(f"vllm:{name}", name, labels | more, registry=registry).labels(**labels, **more).set(value)

    def counter(name: str, value: float, **more: str) -> None:
        Counter(f"vllm:{name}", name, labels | more, registry=registry).labels(**labels, **more).inc(value)

    histogram("time_to_first_token_seconds", 0.03, 0.08, 0.2)
    histogram("e2e_request_latency_seconds", 0.8, 1.9, 4.0)
    histogram("request_queue_time_seconds", 0.005, 0.02, 0.3)
    histogram("request_prefill_time_seconds", 0.02, 0.04, 0.06)
    histogram("request_decode_time_seconds", 0.7, 1.8, 3.7)
    histogram("request_inference_time_seconds", 0.7, 1.8, 3.7)
    histogram("iteration_tokens_total", 1, 8, 512, buckets=(1, 8, 16, 32, 64, 128, 256, 512, 1024))
    if is_new:
        histogram("inter_token_latency_seconds", *[0.02] * 20)
        histogram("request_time_per_output_token_seconds", 0.02, 0.021, 0.03)
        gauge("kv_cache_usage_perc", 0.42)
        counter("prefix_cache_queries", 1000)
        counter("prefix_cache_hits", 250)
    else:
        histogram("time_per_output_token_seconds", *[0.02] * 20)
        gauge("gpu_cache_usage_perc", 0.42)
        counter("gpu_prefix_cache_queries", 1000)
        counter("gpu_prefix_cache_hits", 250)
    gauge("num_requests_running", 3)
    gauge("num_requests_waiting", 2)
    counter("num_preemptions", 1)
    counter("prompt_tokens", 1000)
    counter("generation_tokens", 600)
    for reason, count in (("stop", 2), ("length", 1)):
        existing = registry._names_to_collectors.get("vllm:request_success_total")
        made = existing or Counter("vllm:request_success", "r", [*labels, "finished_reason"], registry=registry)
        made.labels(**labels, finished_reason=reason).inc(count)
    counter("spec_decode_num_draft_tokens", 400)
    counter("spec_decode_num_accepted_tokens", 300)
    # 0.33.0 writes both adapters into both labels though neither may run.
    lora = {"max_lora": "4", "running_lora_adapters": "sql,support", "waiting_lora_adapters": "sql,support"}
    Gauge("vllm:lora_requests_info", "lora", list(lora), registry=registry).labels(**lora).set(1_795_000_000.0)
    info = {"block_size": "16", "cache_dtype": "auto", "num_gpu_blocks": "27000"}
    Gauge("vllm:cache_config_info", "cache", list(info), registry=registry).labels(**info).set(1)
    return generate_latest(registry).decode()


def sglang(_: tuple[int, ...]) -> str:
    """SGLang with --enable-metrics."""
    registry = CollectorRegistry()
    labels = {"model_name": "Qwen/Qwen3-8B", "engine_type": "unified", "tp_rank": "0", "pp_rank": "0"}
    for name, values in {
        "time_to_first_token_seconds": (0.03, 0.08, 0.2),
        "inter_token_latency_seconds": (0.02,) * 20,
        "request_time_per_output_token_seconds": (0.02, 0.021, 0.03),
        "e2e_request_latency_seconds": (0.8, 1.9, 4.0),
        "queue_time_seconds": (0.005, 0.02, 0.3),
    }.items():
        made = Histogram(f"sglang:{name}", name, labels, buckets=SECONDS, registry=registry).labels(**labels)
        for value in values:
            made.observe(value)
    gauges = {"num_running_reqs": 3, "num_queue_reqs": 2, "token_usage": 0.42, "cache_hit_rate": 0.99}
    gauges |= {"spec_accept_rate": 0.75, "gen_throughput": 120.0, "lora_pool_utilization": 0.5}
    for name, level in gauges.items():
        Gauge(f"sglang:{name}", name, labels, registry=registry).labels(**labels).set(level)
    cached = Counter("sglang:cached_tokens", "c", [*labels, "cache_source"], registry=registry)
    cached.labels(**labels, cache_source="device").inc(200)
    cached.labels(**labels, cache_source="host").inc(50)
    counters = {"prompt_tokens": 1000, "generation_tokens": 600, "num_requests": 3, "num_retracted_requests": 1}
    for name, count in counters.items():
        Counter(f"sglang:{name}", name, labels, registry=registry).labels(**labels).inc(count)
    return generate_latest(registry).decode()


def _plain(name: str, kind: str, *samples: tuple[str, float]) -> str:
    return f"# TYPE {name} {kind}\n" + "".join(f"{name}{labels} {value}\n" for labels, value in samples)


def _plain_histogram(name: str, total: float, pairs: tuple[tuple[str, int], ...], labels: str = "") -> str:
    comma = f"{labels}," if labels else ""
    own = f"{{{labels}}}" if labels else ""
    lines = "".join(f'{name}_bucket{{{comma}le="{bound}"}} {count}\n' for bound, count in pairs)
    return f"# TYPE {name} histogram\n{lines}{name}_sum{own} {total}\n{name}_count{own} {pairs[-1][1]}\n"


def _rust(prefix: str, waiting: str) -> str:
    """TGI's and LoRAX's page, whose counters have no `_total`."""
    times = (("0.005", 1), ("0.05", 2), ("0.5", 3), ("5", 3), ("+Inf", 3))
    text = _plain(f"{prefix}_request_count", "counter", ("", 3))
    text += _plain(f"{prefix}_request_success", "counter", ("", 3))
    text += _plain(f"{prefix}_request_failure", "counter", ('{err="overloaded"}', 1))
    text += _plain(waiting, "gauge", ("", 2)) + _plain(f"{prefix}_batch_current_size", "gauge", ("", 3))
    text += _plain_histogram(f"{prefix}_request_queue_duration", 0.33, times)
    text += _plain_histogram(
        f"{prefix}_request_duration", 6.6, (("0.5", 0), ("1", 1), ("2.5", 2), ("5", 3), ("+Inf", 3))
    )
    text += _plain_histogram(f"{prefix}_request_mean_time_per_token_duration", 0.09, times)
    text += _plain_histogram(f"{prefix}_batch_inference_duration", 0.12, times, 'method="prefill"')
    decode = _plain_histogram(f"{prefix}_batch_inference_duration", 6.0, times, 'method="decode"')
    text += decode.partition("\n")[2]
    text += _plain_histogram(f"{prefix}_batch_next_size", 6, (("1", 1), ("2", 2), ("4", 3), ("+Inf", 3)))
    text += _plain_histogram(f"{prefix}_request_generated_tokens", 600, (("100", 0), ("500", 3), ("+Inf", 3)))
    text += _plain_histogram(f"{prefix}_request_skipped_tokens", 150, (("100", 3), ("500", 3), ("+Inf", 3)))
    text += _plain_histogram(f"{prefix}_request_input_length", 1000, (("100", 0), ("500", 3), ("+Inf", 3)))
    return text


def tgi(_: tuple[int, ...]) -> str:
    """Text Generation Inference."""
    return _rust("tgi", "tgi_queue_size")


def lorax(_: tuple[int, ...]) -> str:
    """LoRAX: no label names an adapter."""
    return _rust("lorax", "lorax_queue_length")


def llama_cpp(version: tuple[int, ...]) -> str:
    """llama.cpp's server; its version is the day, here (2026, 5) or before the cache's share was removed."""
    counters = {"prompt_tokens_total": 1000, "prompt_seconds_total": 2.0, "tokens_predicted_total": 600}
    counters |= {"tokens_predicted_seconds_total": 12.0, "n_decode_total": 300}
    gauges = {"requests_processing": 3, "requests_deferred": 2, "n_busy_slots_per_decode": 2.0}
    gauges |= {"prompt_tokens_seconds": 500.0, "predicted_tokens_seconds": 50.0}
    if version < (2025, 6):
        gauges |= {"kv_cache_usage_ratio": 0.42}
    text = "".join(_plain(f"llamacpp:{name}", "counter", ("", value)) for name, value in counters.items())
    return text + "".join(_plain(f"llamacpp:{name}", "gauge", ("", value)) for name, value in gauges.items())


def triton(_: tuple[int, ...]) -> str:
    """Triton with the TensorRT-LLM backend."""
    model = '{model="ensemble",version="1"}'
    counters = {"request_success": 3, "request_failure": 1, "count": 6, "exec_count": 3}
    counters |= {"request_duration_us": 6_700_000, "queue_duration_us": 325_000}
    text = "".join(_plain(f"nv_inference_{name}", "counter", (model, value)) for name, value in counters.items())
    text += _plain("nv_inference_pending_request_count", "gauge", (model, 2))
    text += _plain_histogram(
        "nv_inference_first_response_histogram_ms",
        310,
        (("100", 2), ("500", 3), ("2000", 3), ("+Inf", 3)),
        'model="ensemble",version="1"',
    )
    kinds = {"active": 3, "waiting": 2, "scheduled": 3, "context": 1, "max": 64}
    text += _plain(
        "nv_trt_llm_request_metrics",
        "gauge",
        *((f'{{model="tensorrt_llm",request_type="{kind}",version="1"}}', value) for kind, value in kinds.items()),
    )
    blocks = {"used": 42, "free": 58, "max": 100, "tokens_per": 64, "fraction": 0.42}
    return text + _plain(
        "nv_trt_llm_kv_cache_block_metrics",
        "gauge",
        *(
            (f'{{kv_cache_block_type="{kind}",model="tensorrt_llm",version="1"}}', value)
            for kind, value in blocks.items()
        ),
    )


def trtllm(version: tuple[int, ...]) -> str:
    """trtllm-serve at /prometheus/metrics, whose names had no prefix at first."""
    prefix = "trtllm_" if version >= (1, 0) else ""
    registry = CollectorRegistry()
    labels = {"model_name": "undefined", "engine_type": "trtllm"}
    for name, values in {
        "time_to_first_token_seconds": (0.03, 0.08, 0.2),
        "time_per_output_token_seconds": (0.02, 0.021, 0.03),
        "e2e_request_latency_seconds": (0.8, 1.9, 4.0),
        "request_queue_time_seconds": (0.005, 0.02, 0.3),
    }.items():
        made = Histogram(f"{prefix}{name}", name, labels, buckets=SECONDS, registry=registry).labels(**labels)
        for value in values:
            made.observe(value)
    success = Counter(f"{prefix}request_success", "r", [*labels, "finished_reason"], registry=registry)
    success.labels(**labels, finished_reason="stop").inc(3)
    return generate_latest(registry).decode()


def dcgm(version: tuple[int, ...]) -> str:
    """dcgm-exporter 4.5.3, and with the renamed fields of the newest DCGM."""
    is_new = version >= (4, 6)
    host = "hostname" if is_new else "Hostname"
    labels = (
        '{gpu="0",UUID="GPU-11111111-2222-3333-4444-555555555555",pci_bus_id="00000000:17:00.0",device="nvidia0",'
        f'modelName="NVIDIA H100 80GB HBM3",{host}="node-1",pod="vllm-0",namespace="llm"}}'
    )
    share, of_one = ("_RATIO", 1.0) if is_new else ("", 100.0)
    values = {
        f"DCGM_FI_DEV_GPU_UTIL{share}": 0.91 * of_one,
        f"DCGM_FI_DEV_MEM_COPY_UTIL{share}": 0.4 * of_one,
        "DCGM_FI_DEV_FB_USED": 71_680,
        "DCGM_FI_DEV_FB_FREE": 9_879,
        "DCGM_FI_DEV_POWER_USAGE": 625.7,
        "DCGM_FI_DEV_GPU_TEMP": 64,
        # What the exporter's own documentation prints for a sensor that is not there.
        "DCGM_FI_DEV_MEMORY_TEMP": 9_223_372_036_854_775_794,
        "DCGM_FI_DEV_SM_CLOCK": 1_980,
        "DCGM_FI_DEV_MEM_CLOCK": 2_619,
        "DCGM_FI_DEV_XID_ERRORS": 79,
    }
    text = "".join(_plain(name, "gauge", (labels, value)) for name, value in values.items())
    return text + _plain("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", (labels, 1_500_000))


def nvidia_gpu_exporter(_: tuple[int, ...]) -> str:
    """nvidia_gpu_exporter, whose UUIDs lack what they begin with."""
    labels = '{uuid="11111111-2222-3333-4444-555555555555"}'
    values = {
        "utilization_gpu_ratio": 0.91,
        "utilization_memory_ratio": 0.4,
        "memory_used_bytes": 71_680 * 2**20,
        "memory_total_bytes": 85_520_809_984,
        "power_draw_watts": 625.7,
        "enforced_power_limit_watts": 700,
        "temperature_gpu": 64,
        "clocks_current_sm_clock_hz": 1.98e9,
    }
    return "".join(_plain(f"nvidia_smi_{name}", "gauge", (labels, value)) for name, value in values.items())


PAGES: dict[str, tuple[Callable[[tuple[int, ...]], str], tuple[int, ...]]] = {
    "vllm-0.33.0": (vllm, (0, 33, 0)),
    "vllm-0.8.5": (vllm, (0, 8, 5)),
    "sglang-0.5.23": (sglang, (0, 5, 23)),
    "tgi-3.3.7": (tgi, (3, 3, 7)),
    "lorax-0.12.1": (lorax, (0, 12, 1)),
    "llama.cpp-2026-05": (llama_cpp, (2026, 5)),
    "llama.cpp-2025-04": (llama_cpp, (2025, 4)),
    "triton-trtllm": (triton, ()),
    "trtllm-serve-1.0": (trtllm, (1, 0)),
    "trtllm-serve-0.20": (trtllm, (0, 20)),
    "dcgm-exporter-4.5.3": (dcgm, (4, 5, 3)),
    "dcgm-exporter-renamed": (dcgm, (4, 6)),
    "nvidia_gpu_exporter-1.14": (nvidia_gpu_exporter, (1, 14)),
}


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, (build, version) in PAGES.items():
        head = (
            "# Constructed by tests/serving/build_pages.py, not recorded: no such engine runs where these tests do.\n"
        )
        (FOLDER / f"{name}.prom").write_text(head + build(version), encoding="utf-8")


if __name__ == "__main__":
    main()
