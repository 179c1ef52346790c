"""What a resource says about where telemetry comes from: read once a resource, not once a span."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collectors.otlp.limits import Limits
from collectors.otlp.values import Cuts, read_attributes
from collectors.semconv.convert import count, label, labels

_SERVICE = ("service.name", "openinference.project.name")
_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_HOST = ("host.name", "k8s.node.name")
_GPUS = ("gpu.uuids", "gpu.uuid", "gpu_uuid")
# OpenTelemetry's key, and dcgm-exporter's label.
_HARDWARE = ("hw.id", "UUID")
# Without one of these nothing names a GPU.
GPU_KEYS = frozenset((*_GPUS, *_HARDWARE))


@dataclass(frozen=True, slots=True)
class Origin:
    """A resource's columns. `truncated` names its attributes that were cut."""

    service: str
    host: str
    gpu_uuids: list[str]
    texts: dict[str, str]
    # Those of `spans` that a resource fills.
    span_columns: dict[str, Any]
    # Of the attributes: what makes two resources one.
    digest: bytes
    truncated: Cuts = field(default_factory=dict)


def read_resource(resource: Resource, limits: Limits) -> Origin:
    """The origin that a resource names; an absent part is empty."""
    truncated: Cuts = {}
    values, texts = read_attributes(resource.attributes, limits, truncated)

    service, host, gpus = _first(values, _SERVICE), _first(values, _HOST), gpu_uuids(values)
    return Origin(
        service=service,
        host=host,
        gpu_uuids=gpus,
        texts=texts,
        span_columns={
            "service": service,
            "host": host,
            "gpu_uuids": gpus,
            "resource": texts,
            **columns_of_resource(values),
            "host_id": _first(values, ("host.id",)),
            "process_id": count(values.get("process.pid")),
            "service_instance_id": _first(values, ("service.instance.id",)),
        },
        digest=digest(texts),
        truncated=truncated,
    )


def columns_of_resource(values: Mapping[str, Any]) -> dict[str, str]:
    """Columns of a span that its resource fills where its own attributes do not."""
    return {"environment": environment_of(values), "release": _first(values, ("service.version",))}


def environment_of(values: Mapping[str, Any]) -> str:
    """Name of the environment that a resource says it runs in; '' for none."""
    return _first(values, _ENVIRONMENT)


def _first(values: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((text for key in keys if (text := label(values.get(key))) is not None), "")


def gpu_uuids(values: Mapping[str, Any]) -> list[str]:
    """UUIDs of the GPUs, or of their instances, that attributes name.

    `hw.id` is any hardware's: a GPU's where `hw.type` says so or where it is written as NVIDIA writes them.
    """
    for key in _GPUS:
        named = labels(values.get(key))
        if named:
            return named
    identities = (label(values.get(key)) for key in _HARDWARE)
    is_gpu = values.get("hw.type") == "gpu"
    return [each for each in identities if each is not None and (is_gpu or each.startswith(("GPU-", "MIG-")))][:1]


def digest(values: dict[str, str], salt: bytes = b"") -> bytes:
    """Eight bytes that stand for a set of attributes, whatever their order; the same in every process."""
    pairs = "\x00".join(f"{key}\x01{values[key]}" for key in sorted(values))
    return blake2b(salt + pairs.encode("utf-8", "replace"), digest_size=8).digest()


# Of what no resource has been read for yet.
NOWHERE = read_resource(Resource(), Limits())
