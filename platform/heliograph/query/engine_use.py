"""How much of their GPUs the engines use: MFU and MBU from what they report, their model's shape and the GPU table.

- `of_engines(project_id, range) -> list[EngineUse]`

An engine's GPUs are those on which processes ran on its host, where it is the only engine there and they are of one
model; else nothing is said, since the share of each is not known. The cache that a step reads is left out, as no engine
reports the length of its sequences: MBU is at least what stands here. Prompt tokens count in MFU as they do in the
engine's own counters, those from the prefix cache included, so that it is at most what stands here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectors.model_names import parse
from heliograph.clickhouse import client
from heliograph.query import serving
from heliograph.query.filters import TimeRange
from heliograph.query.roofline import shape_of
from heliograph.query.serving import EngineInstance, InstanceMetrics
from serving_math import memory, roofline
from serving_math.architectures import Architecture, with_params
from serving_math.gpus import Gpu, gpu_of
from serving_math.known import DataError, Unknown
from serving_math.roofline import Range

GPUS = """
SELECT host, gpu_uuid, anyLast(p.gpu_name) AS name
FROM gpu_processes AS p
WHERE p.project_id = %(project_id)s AND p.host != ''
    AND p.last_seen >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC')
    AND p.first_seen < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
GROUP BY host, gpu_uuid
ORDER BY host, gpu_uuid
LIMIT 20000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUse:
    """An engine's use of its GPUs over a range.

    `mfu_at_most` and `mbu_at_least` are shares of the dense peak and of the bandwidth, None with the `reason`.
    `is_error` says that the inputs contradict the hardware.
    """

    instance: EngineInstance
    gpu: str
    gpus: int
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
    rows = client.query(project_id, GPUS, {"start_ns": span.start_ns, "end_ns": span.end_ns}, tag="engine_use.gpus")
    by_host: dict[str, list[str]] = {}
    for row in rows:
        by_host.setdefault(row["host"], []).append(row["name"])
    engines = Counter(each.instance.host for each in found)
    return [_use(each, by_host.get(each.instance.host, []), engines) for each in found]


def _use(found: InstanceMetrics, names: Sequence[str], engines: Mapping[str, int]) -> EngineUse:
    instance = found.instance
    out, read, batch = (_value(found, name) for name in ("out_tok_s", "in_tok_s", "running"))
    card = _card(instance, names, engines)
    shape = _shape(instance)
    reason = next((each.reason for each in (card, shape) if isinstance(each, Unknown)), "")
    if not reason and (out is None or not batch):
        reason = "the engine reported no tokens written, or no requests running, in this time"
    use: tuple[float | None, float | None] = (None, None)
    is_error = False
    if not reason and isinstance(card, Gpu) and isinstance(shape, Architecture) and out is not None and batch:
        try:
            use, reason = _shares(instance, card, shape, len(names), out, read or 0.0, batch)
        except DataError as wrong:
            reason, is_error = str(wrong), True
    return EngineUse(
        instance=instance,
        gpu=card.name if isinstance(card, Gpu) else "",
        gpus=len(names) if isinstance(card, Gpu) else 0,
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


def _card(instance: EngineInstance, names: Sequence[str], engines: Mapping[str, int]) -> Gpu | Unknown:
    if not names:
        return Unknown(f"no GPU agent reported a process on {instance.host or 'a host that the engine does not name'}")
    if engines[instance.host] > 1:
        return Unknown(
            f"{engines[instance.host]} engines report from {instance.host}: whose GPUs are whose is not known"
        )
    if len(set(names)) > 1:
        return Unknown(f"{instance.host} has GPUs of several models")
    return gpu_of(names[0])


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
