"""SGLang 0.5.23 with `--enable-metrics`: https://docs.sglang.ai/references/production_metrics.html

The hit rate is worked out of counters: `sglang:cache_hit_rate` is of the last batch only.
"""

from collectors.serving.model import Engine, Level, Pick, Quantiles, Rate, Ratio

ENGINE = Engine(
    name="sglang",
    title="SGLang",
    prefixes=("sglang:",),
    ways={
        "ttft": (Quantiles(Pick("sglang:time_to_first_token_seconds")),),
        "tpot": (
            Quantiles(Pick("sglang:request_time_per_output_token_seconds")),
            Quantiles(Pick("sglang:time_per_output_token_seconds"), until=(0, 5)),
        ),
        "itl": (
            Quantiles(Pick("sglang:inter_token_latency_seconds")),
            Quantiles(Pick("sglang:inter_token_latency"), until=(0, 5)),
        ),
        "e2e": (Quantiles(Pick("sglang:e2e_request_latency_seconds")),),
        "queue": (Quantiles(Pick("sglang:queue_time_seconds")),),
        "running": (Level(Pick("sglang:num_running_reqs")),),
        "waiting": (Level(Pick("sglang:num_queue_reqs")),),
        "kv_usage": (Level(Pick("sglang:token_usage"), "avg"),),
        "prefix_hit": (Ratio(Pick("sglang:cached_tokens_total"), (Pick("sglang:prompt_tokens_total"),)),),
        "preemptions": (Rate(Pick("sglang:num_retracted_requests_total"), note="requests retracted"),),
        "spec_accept": (Level(Pick("sglang:spec_accept_rate"), "avg", note="the engine's own gauge"),),
        "batch": (Level(Pick("sglang:num_running_reqs"), note="requests"),),
        "out_tok_s": (Rate(Pick("sglang:generation_tokens_total")),),
        "in_tok_s": (Rate(Pick("sglang:prompt_tokens_total")),),
        "requests_s": (Rate(Pick("sglang:num_requests_total")),),
    },
    absent={"prefill": "SGLang gives times by stage, not of the prefill alone; its spans have it."},
)
