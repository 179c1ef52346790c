"""What a resource says about where telemetry comes from: read once a resource, not once a span."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collectors.otlp.limits import Limits
from collectors.otlp.values import read_attributes
from collectors.semconv.convert import MAX_LABEL_CHARS, count, label, labels

_SERVICE = ("service.name", "openinference.project.name")
_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")
_HOST = ("host.name", "k8s.node.name")
_GPUS = ("gpu.uuids", "gpu.uuid", "hw.id")


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
    truncated: list[str] = field(default_factory=list)


def read_resource(resource: Resource, limits: Limits) -> Origin:
    """The origin that a resource names; an absent part is empty."""
    truncated: list[str] = []
    values, texts = read_attributes(resource.attributes, limits, truncated)

    def first(keys: tuple[str, ...]) -> str:
        return next((text for key in keys if (text := label(values.get(key))) is not None), "")

    named = next((found for key in _GPUS if (found := labels(values.get(key))) is not None), [])
    service, host, gpus = first(_SERVICE), first(_HOST), gpu_uuids(named)
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
            "environment": first(_ENVIRONMENT),
            "release": first(("service.version",)),
            "host_id": first(("host.id",)),
            "process_id": count(values.get("process.pid")),
            "service_instance_id": first(("service.instance.id",)),
        },
        digest=digest(texts),
        truncated=truncated,
    )


def gpu_uuids(identities: list[str]) -> list[str]:
    """Those of `hw.id` values that name a GPU or a part of one (NVIDIA's UUIDs): it may also be a disk's or a fan's."""
    return [each[:MAX_LABEL_CHARS] for each in identities if each.startswith(("GPU-", "MIG-"))]


def digest(values: dict[str, str], salt: bytes = b"") -> bytes:
    """Eight bytes that stand for a set of attributes, whatever their order; the same in every process."""
    pairs = "\x00".join(f"{key}\x01{values[key]}" for key in sorted(values))
    return blake2b(salt + pairs.encode("utf-8", "replace"), digest_size=8).digest()
