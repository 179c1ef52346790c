"""llama.cpp's server with `--metrics` (names of 2026-05). The share of its cache was removed in 2025."""

from collectors.serving.model import Engine, Level, Pick, Rate, Ratio

ENGINE = Engine(
    name="llama.cpp",
    title="llama.cpp",
    prefixes=("llamacpp:",),
    ways={
        "tpot": (
            Ratio(
                Pick("llamacpp:tokens_predicted_seconds_total"),
                (Pick("llamacpp:tokens_predicted_total"),),
                note="mean of the interval",
            ),
        ),
        "running": (Level(Pick("llamacpp:requests_processing")),),
        "waiting": (Level(Pick("llamacpp:requests_deferred")),),
        "kv_usage": (Level(Pick("llamacpp:kv_cache_usage_ratio"), "avg"),),
        "batch": (Level(Pick("llamacpp:n_busy_slots_per_decode"), "avg", note="requests, mean since start"),),
        "out_tok_s": (Rate(Pick("llamacpp:tokens_predicted_total")),),
        "in_tok_s": (Rate(Pick("llamacpp:prompt_tokens_total")),),
    },
    absent={"kv_usage": "llama.cpp removed the share of its cache in 2025; older versions have it."},
)
