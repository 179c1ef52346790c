"""Bytes: of weights, of the key-value cache, and of training states under ZeRO."""

from dataclasses import dataclass

GIB = 2**30
# Of mixed-precision Adam, a parameter: 2 bytes of weight, 2 of gradient, and 12 of the optimizer (fp32 weight, momentum
# and variance). Rajbhandari et al., ZeRO, SC 2020, section 3.1.
_WEIGHT, _GRADIENT, _OPTIMIZER = 2, 2, 12


def weight_bytes(params: float, bits: float) -> float:
    """Return the bytes of the weights; scales and zeros of quantised formats come on top."""
    return params * bits / 8


def kv_bytes_per_token(layers: int, kv_width: int, bits: float = 16) -> float:
    """Return what one token occupies in the key-value cache: layers x numbers a layer x their size."""
    return layers * kv_width * bits / 8


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room for the key-value cache in bytes (negative where the weights do not fit), and what fits into it."""

    room_bytes: float
    tokens: int
    sequences: int


def kv_capacity(
    memory_bytes: float, gpus: int, weights: float, kv_per_token: float, context: int, *, usable: float = 0.9
) -> Capacity:
    """Return how many tokens, and sequences of `context` tokens, fit beside the weights.

    `usable` is the share of the memory that the engine may take (vLLM's gpu_memory_utilization); activations and CUDA
    graphs take some of it too, so an engine reports less.
    """
    room = memory_bytes * gpus * usable - weights
    tokens = max(0, int(room / kv_per_token))
    return Capacity(room, tokens, tokens // context)


def zero_bytes(params: float, gpus: int, stage: int) -> float:
    """Return the bytes a GPU of weights, gradients and optimizer under ZeRO `stage` (0 to 3); activations come on top.

    Raises ValueError for another stage or without a GPU.
    """
    if stage not in range(4) or gpus < 1:
        raise ValueError("ZeRO has stages 0 to 3 and needs a GPU")
    shared = [gpus if stage >= from_stage else 1 for from_stage in (3, 2, 1)]
    parts = zip((_WEIGHT, _GRADIENT, _OPTIMIZER), shared, strict=True)
    return params * sum(size / over for size, over in parts)
