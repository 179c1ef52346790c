"""How much of the hardware a decode uses, and how fast it could be: MBU, MFU, ceiling and bound.

A step of decoding reads all weights once for the whole batch, and each sequence's key-value cache; it multiplies each
active parameter twice a token. https://www.databricks.com/blog/llm-inference-performance-engineering-best-practices
(MBU) and Chowdhery et al., PaLM, 2022, appendix B (MFU).
"""

from dataclasses import dataclass
from typing import Literal

from serving_math.known import share_of_peak

Bound = Literal["memory", "compute"]


@dataclass(frozen=True, slots=True)
class Range:
    """From the least to the most that a value can be; both are the same where it is known."""

    low: float
    high: float


def bytes_per_step(weights: Range, kv_per_token: float, context: float, batch: float) -> Range:
    """Return the bytes that one step reads: weights, and the cache of `batch` sequences of `context` tokens."""
    cache = kv_per_token * context * batch
    return Range(weights.low + cache, weights.high + cache)


def experts_read(active_weights: float, weights: float, batch: float) -> Range:
    """Return the weight bytes that a step of a mixture of experts touches: those of one token, up to all of them.

    A batch of n tokens touches at most n times the active weights; which experts they share is not known.
    """
    return Range(active_weights, min(weights, active_weights * max(1.0, batch)))


def mbu(step: Range, steps_per_s: float, bandwidth: float, gpus: int) -> Range:
    """Return the share of the memory bandwidth in use. Raises DataError above 100 %."""
    low, high = (each * steps_per_s / (bandwidth * gpus) for each in (step.low, step.high))
    # Only the low end must be possible: the high one is what it would be if no experts were shared.
    return Range(share_of_peak("MBU", low), min(high, 1.0))


def mfu(active_params: float, tokens_per_s: float, dense_peak: float, gpus: int) -> float:
    """Return the share of the dense peak in use. Raises DataError above 100 %."""
    return share_of_peak("MFU", 2 * active_params * tokens_per_s / (dense_peak * gpus))


def ceiling(step: Range, batch: float, active_params: float, bandwidth: float, dense_peak: float, gpus: int) -> float:
    """Return the tokens a second that no engine can exceed: memory's limit or arithmetic's, whichever is lower."""
    by_memory = batch * bandwidth * gpus / step.low
    return min(by_memory, dense_peak * gpus / (2 * active_params))


def bound_of(step: Range, batch: float, active_params: float, ridge: float) -> Bound:
    """Say what limits the step: memory below the ridge, arithmetic above it."""
    return "memory" if 2 * active_params * batch / step.high < ridge else "compute"
