"""vLLM. Names of 0.33 and of the versions before: https://docs.vllm.ai/en/stable/design/metrics/

- `vllm:lora_requests_info` is not used: it writes every known adapter into its running and waiting labels, whether a
  request runs or not (0.33.0), so that counts by adapter come from spans only.
- `kv_cache_usage_perc` is a share from 0 to 1 for all its name.
"""

from collectors.serving.model import Engine, Level, Pick, Quantiles, Rate, Ratio

# The engine core of 0.8 renamed its caches; the old names went in 0.11.
_RENAMED = (0, 11)

ENGINE = Engine(
    name="vllm",
    title="vLLM",
    prefixes=("vllm:", "vllm_"),
    ways={
        "ttft": (Quantiles(Pick("vllm:time_to_first_token_seconds")),),
        "tpot": (
            Quantiles(Pick("vllm:request_time_per_output_token_seconds")),
            Quantiles(
                Pick("vllm:time_per_output_token_seconds"),
                until=_RENAMED,
                note="one value a gap, as this version measured it",
            ),
        ),
        "itl": (
            Quantiles(Pick("vllm:inter_token_latency_seconds")),
            Quantiles(Pick("vllm:time_per_output_token_seconds"), until=_RENAMED),
        ),
        "e2e": (Quantiles(Pick("vllm:e2e_request_latency_seconds")),),
        "queue": (Quantiles(Pick("vllm:request_queue_time_seconds")),),
        "prefill": (Quantiles(Pick("vllm:request_prefill_time_seconds")),),
        "decode": (Quantiles(Pick("vllm:request_decode_time_seconds")),),
        "running": (Level(Pick("vllm:num_requests_running")),),
        "waiting": (Level(Pick("vllm:num_requests_waiting")),),
        "kv_usage": (
            Level(Pick("vllm:kv_cache_usage_perc"), "avg"),
            Level(Pick("vllm:gpu_cache_usage_perc"), "avg", until=_RENAMED),
        ),
        "prefix_hit": (
            Ratio(Pick("vllm:prefix_cache_hits_total"), (Pick("vllm:prefix_cache_queries_total"),)),
            Ratio(
                Pick("vllm:gpu_prefix_cache_hits_total"),
                (Pick("vllm:gpu_prefix_cache_queries_total"),),
                until=_RENAMED,
            ),
        ),
        "preemptions": (Rate(Pick("vllm:num_preemptions_total")),),
        "spec_accept": (
            Ratio(
                Pick("vllm:spec_decode_num_accepted_tokens_total"), (Pick("vllm:spec_decode_num_draft_tokens_total"),)
            ),
        ),
        "batch": (Quantiles(Pick("vllm:iteration_tokens_total"), note="tokens a step"),),
        "out_tok_s": (Rate(Pick("vllm:generation_tokens_total")),),
        "in_tok_s": (Rate(Pick("vllm:prompt_tokens_total")),),
        "requests_s": (Rate(Pick("vllm:request_success_total")),),
    },
)
