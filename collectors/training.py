"""What trainers measure, by one name each: the keys under which their logs are sent as OTLP gauges.

A trainer sends no OTLP itself; a callback passes its log on, under the trainer's own keys or under `training.*`. The
keys are those of Hugging Face's Trainer, on which TRL, Axolotl and Unsloth build (`train/` as its loggers write it), of
torchtune, torchtitan, Megatron-LM and DeepSpeed.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingMetric:
    """A measure of a step: its unit, and the keys with the factor to it."""

    name: str
    unit: str
    keys: Mapping[str, float]


METRICS: tuple[TrainingMetric, ...] = (
    TrainingMetric(
        "loss",
        "1",
        {
            "training.loss": 1,
            "loss": 1,
            "train/loss": 1,
            "train_loss": 1,
            "loss_metrics/global_avg_loss": 1,
            "lm loss": 1,
            "Train/Samples/train_loss": 1,
        },
    ),
    TrainingMetric(
        "step_time",
        "s",
        {"training.step.duration": 1, "step_time": 1, "time_metrics/end_to_end(s)": 1, "iteration-time": 1},
    ),
    TrainingMetric("collective_time", "s", {"training.collective.duration": 1, "time_metrics/collective(s)": 1}),
    TrainingMetric(
        "tokens_per_s",
        "{token}/s",
        {
            "training.tokens_per_second": 1,
            "tokens_per_second_per_gpu": 1,
            "throughput(tps)": 1,
            "train_tokens_per_second": 1,
            "train/train_tokens_per_second": 1,
        },
    ),
    TrainingMetric("grad_norm", "1", {"training.grad_norm": 1, "grad_norm": 1, "train/grad_norm": 1, "grad-norm": 1}),
    TrainingMetric(
        "learning_rate",
        "1",
        {
            "training.learning_rate": 1,
            "learning_rate": 1,
            "train/learning_rate": 1,
            "lr": 1,
            "learning-rate": 1,
            "Train/Samples/lr": 1,
        },
    ),
    TrainingMetric(
        "peak_memory",
        "By",
        {
            "training.memory.peak": 1,
            "peak_memory_reserved": 2**30,
            "memory/max_reserved(GiB)": 2**30,
        },
    ),
)
BY_NAME = {metric.name: metric for metric in METRICS}
BY_KEY = {key: (metric.name, factor) for metric in METRICS for key, factor in metric.keys.items()}
# Any of these makes a sender a trainer; `loss` or `lr` alone may be anybody's gauge.
JOB_KEY, RANK_KEYS = "training.job.id", ("training.rank", "rank", "torch.rank")
