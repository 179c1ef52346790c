"""How much of their GPUs the engines use: MFU and MBU from what they report, their model's shape and the GPU table.

- `of_engines(project_id, range) -> list[EngineUse]`

An engine's GPUs are those of its own processes (`engine_gpus`), and of one model; else nothing is said. Where others
compute on them too, an engine's share is still of the whole GPU: its own tokens are what its counters say. The cache
that a step reads is left out, as no engine reports the length of its sequences: MBU is at least what stands here.
Prompt tokens count in MFU as they do in the engine's own counters, those from the prefix cache included, so that it is
at most what stands here.
"""

from dataclasses import dataclass

from collectors.model_names import parse
from heliograph.query import engine_gpus, serving
from heliograph.query.engine_gpus import Held
from heliograph.query.filters import TimeRange
from heliograph.query.roofline import shape_of
from heliograph.query.serving import EngineInstance, InstanceMetrics
from serving_math import memory, roofline
from serving_math.architectures import Architecture, with_params
from serving_math.gpus import Gpu, gpu_of
from serving_math.known import DataError, Unknown
from serving_math.roofline import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUse:
    """An engine's use of its GPUs over a range.

    `mfu_at_most` and `mbu_at_least` are shares of the dense peak and of the bandwidth, None with the `reason`.
    `is_error` says that the inputs contradict the hardware. `strength` is how the GPUs are known to be the engine's and
    `gpus_how` says it in words; on `gpus_shared` of them others computed too.
    """

    instance: EngineInstance
    gpu: str
    gpus: int
    gpus_shared: int
    gpus_how: str
    strength: str
    tokens_per_s: float | None
    batch: float | None
    mfu_at_most: float | None
    mbu_at_least: float | None
    reason: str
    is_error: bool = False


def of_engines(project_id: int, span: TimeRange) -> list[EngineUse]:
    """Return the use of each engine that reported in the range. Raises InvalidFilterError as `serving.canonical`."""
    found = serving.canonical(project_id, span, metrics=("out_tok_s", "in_tok_s", "running"))
    if not found:
        return []
    held = engine_gpus.of_engines(project_id, span, found)
    return [_use(each, held[each.instance.key]) for each in found]


def _use(found: InstanceMetrics, held: Held) -> EngineUse:
    instance = found.instance
    out, read, batch = (_value(found, name) for name in ("out_tok_s", "in_tok_s", "running"))
    card = _card(held)
    shape = _shape(instance)
    reason = next((each.reason for each in (card, shape) if isinstance(each, Unknown)), "")
    if not reason and (out is None or not batch):
        reason = "the engine reported no tokens written, or no requests running, in this time"
    use: tuple[float | None, float | None] = (None, None)
    is_error = False
    if not reason and isinstance(card, Gpu) and isinstance(shape, Architecture) and out is not None and batch:
        try:
            use, reason = _shares(instance, card, shape, len(held.gpus), out, read or 0.0, batch)
        except DataError as wrong:
            reason, is_error = str(wrong), True
    return EngineUse(
        instance=instance,
        gpu=card.name if isinstance(card, Gpu) else "",
        gpus=len(held.gpus) if isinstance(card, Gpu) else 0,
        gpus_shared=held.shared,
        gpus_how=held.reason if held.gpus else "",
        strength=held.strength,
        tokens_per_s=out,
        batch=batch,
        mfu_at_most=use[0],
        mbu_at_least=use[1],
        reason=reason,
        is_error=is_error,
    )


def _value(found: InstanceMetrics, metric: str) -> float | None:
    readings = found.of(metric).readings
    return readings[0].value if readings else None


def _card(held: Held) -> Gpu | Unknown:
    if not held.gpus:
        return Unknown(held.reason)
    names = {each.name for each in held.gpus}
    if len(names) > 1:
        return Unknown(f"{held.gpus[0].host} has GPUs of several models")
    return gpu_of(names.pop())


def _shape(instance: EngineInstance) -> Architecture | Unknown:
    # vLLM names its adapters beside the model; they share the model's shape.
    bases = [name for name in instance.models if "lora" not in parse(name).variant]
    if len(bases) != 1:
        return Unknown("the engine names no model" if not bases else f"the engine names {len(bases)} models")
    shape = shape_of(bases[0])
    if isinstance(shape, Unknown):
        return shape
    said = parse(bases[0])
    full = with_params(shape, said.params_total, said.params_active)
    return full if full.params is not None else Unknown("the number of parameters is not known")


def _shares(
    instance: EngineInstance, card: Gpu, shape: Architecture, gpus: int, out: float, read: float, batch: float
) -> tuple[tuple[float | None, float | None], str]:
    base = next(name for name in instance.models if "lora" not in parse(name).variant)
    bits = float(parse(base).bits or 16)
    assert shape.params is not None  # _shape saw to it
    active = shape.active_params or shape.params
    weights = memory.weight_bytes(shape.params, bits)
    step = Range(weights, weights)
    if shape.is_mixture:
        step = roofline.experts_read(memory.weight_bytes(active, bits), weights, batch)
    mbu = roofline.mbu(step, out / batch, card.bandwidth, gpus).low
    # 8 and fewer bits are multiplied as 16 unless the engine says otherwise, which none does.
    peak = next((p for p in (card.peak(name, sparse=False) for name in ("bf16", "fp16")) if isinstance(p, float)), None)
    if peak is None:
        return (None, mbu), f"the table has no dense 16-bit peak of {card.name}"
    return (roofline.mfu(active, out + read, peak, gpus), mbu), ""
