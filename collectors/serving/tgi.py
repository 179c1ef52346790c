"""Hugging Face's text-generation-inference 3.3.7, and LoRAX 0.12.1, which began as its fork.

No time to the first token: it is at least the mean wait in the queue and the mean prefill of a batch together, which
is shown as a lower bound. A mean of parts has no quantiles.
"""

from collections.abc import Mapping

from collectors.serving.model import Engine, Level, MeanSum, Pick, Quantiles, Rate, Ratio, Way


def ways_of(prefix: str, waiting: str) -> Mapping[str, tuple[Way, ...]]:
    """The ways of both, which differ in the prefix and in the name of the queue's length."""
    skipped = Pick(f"{prefix}_request_skipped_tokens", field="sum")
    generated = Pick(f"{prefix}_request_generated_tokens", field="sum")
    return {
        "ttft": (
            MeanSum(
                (
                    Pick(f"{prefix}_request_queue_duration"),
                    Pick(f"{prefix}_batch_inference_duration", {"method": "prefill"}),
                ),
                bound="lower",
                note="mean wait in the queue and mean prefill of a batch",
            ),
        ),
        "tpot": (
            Quantiles(Pick(f"{prefix}_request_mean_time_per_token_duration"), note="over all tokens of a request"),
        ),
        "e2e": (Quantiles(Pick(f"{prefix}_request_duration")),),
        "queue": (Quantiles(Pick(f"{prefix}_request_queue_duration")),),
        "prefill": (
            Quantiles(Pick(f"{prefix}_batch_inference_duration", {"method": "prefill"}), note="one value a batch"),
        ),
        "running": (Level(Pick(f"{prefix}_batch_current_size")),),
        "waiting": (Level(Pick(waiting)),),
        "spec_accept": (Ratio(skipped, (generated,), note="skipped over generated tokens"),),
        "batch": (Quantiles(Pick(f"{prefix}_batch_next_size"), note="requests"),),
        "out_tok_s": (Rate(generated),),
        "in_tok_s": (Rate(Pick(f"{prefix}_request_input_length", field="sum")),),
        "requests_s": (Rate(Pick(f"{prefix}_request_success")), Rate(Pick(f"{prefix}_request_success_total"))),
    }


_ABSENT = {
    "itl": "{title} measures no gaps between tokens.",
    "kv_usage": "{title} does not expose its key-value cache.",
    "prefix_hit": "{title} does not expose its prefix cache.",
}

TGI = Engine(
    name="tgi",
    title="Text Generation Inference",
    prefixes=("tgi_",),
    ways=ways_of("tgi", "tgi_queue_size"),
    absent=_ABSENT,
)
LORAX = Engine(
    name="lorax",
    title="LoRAX",
    prefixes=("lorax_",),
    ways=ways_of("lorax", "lorax_queue_length"),
    absent=_ABSENT,
)
