"""The one door to pynvml: every call and every field goes through here, and every NVML code gets its decision.

Below the provider's errors there are two that stay inside this package:

    Unsupported   this GPU, driver or binding does not have the reading: absent, ask again at the next slow tick
    ReadFailed    the reading exists but failed this time: absent, counted by name
"""

import ctypes
import struct
from collections.abc import Iterable
from typing import Any

from gpu_agent.provider import DeviceLost, Outdated, ProviderLost, Unavailable

try:
    import pynvml
except ModuleNotFoundError:  # the light install comes without the binding; `initialise` says so
    pynvml = None

# What NVML's codes mean to us; a code that is in none of these is a failed reading.
UNSUPPORTED_CODES = frozenset({2, 3, 6, 13, 25, 26})  # invalid argument, not supported, not found, no function, version
DEVICE_LOST_CODES = frozenset({15, 16, 28})  # lost, reset required, not found
PROVIDER_LOST_CODES = frozenset({1, 9, 18})  # uninitialised, driver not loaded, version mismatch
VERSION_MISMATCH = 18
CODE_NAMES = {
    4: "no_permission",
    7: "insufficient_size",
    10: "timeout",
    14: "corrupted_inforom",
    17: "operating_system",
}
CODE_NAMES |= {19: "in_use", 20: "memory", 21: "no_data", 27: "not_ready", 29: "invalid_state", 999: "unknown"}

# nvmlFieldValue_t: id, scope, time, latency, value type, return code, union. Unpacking it costs a tenth of reading the
# attributes of the binding's structure, which is most of what a sample costs.
FIELD_VALUE = struct.Struct("@IIqqII8s")
# The member of the union for each valueType: double, unsigned int, long, long long, signed long long, int, short.
UNION_MEMBERS = tuple(struct.Struct(f"@{code}") for code in "dILQqiH")
# A row of nvmlGpmMetricsGet_t (metric, return code, value, three names) and what stands before the rows.
GPM_ROW = struct.Struct("@IId3P")
GPM_HEADER = struct.Struct("@II2P")
FieldKey = tuple[int, int]  # field id, scope (a link, 0 where there is none)


class Unsupported(Exception):  # noqa: N818  # names a decision
    """The reading does not exist here."""


class ReadFailed(Exception):  # noqa: N818  # names a decision
    """The reading failed this time; the text is the name under which it is counted."""


def failure(code: int, what: str) -> Exception:
    """The exception that carries the decision for an NVML code."""
    if code in UNSUPPORTED_CODES:
        return Unsupported(what)
    if code in DEVICE_LOST_CODES:
        return DeviceLost(f"{what}: code {code}")
    if code in PROVIDER_LOST_CODES:
        return ProviderLost(f"{what}: code {code}")
    return ReadFailed(CODE_NAMES.get(code, f"code_{code}"))


def call(function: str, *arguments: Any) -> Any:
    """Call a pynvml function by name; raises Unsupported, ReadFailed, DeviceLost or ProviderLost."""
    found = getattr(pynvml, function, None)
    if found is None:
        raise Unsupported(function)
    try:
        return found(*arguments)
    except pynvml.NVMLError as error:
        raise failure(error.value, function) from error
    except pynvml.NVMLLibraryMismatchError as error:
        raise Unsupported(function) from error


def initialise() -> None:
    """Load the library and initialise it; raises Unavailable or Outdated with a sentence for people."""
    if pynvml is None:
        raise Unavailable("the Python package nvidia-ml-py is not installed (pip install 'heliograph[gpu]')")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value == VERSION_MISMATCH:
            raise Outdated(
                "the NVIDIA driver and libnvidia-ml differ in version (driver updated without a reboot?)"
            ) from error
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            raise Unavailable("libnvidia-ml.so.1 was not found: no NVIDIA driver is installed here") from error
        if error.value == pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
            raise Unavailable("the NVIDIA kernel driver is not loaded") from error
        raise Unavailable(f"NVML does not start: {error}") from error


def is_sentinel(raw: int | float) -> bool:
    """Whether a raw value means "no value": all ones, or just below the largest integers."""
    return raw == 0xFFFFFFFF or 0x7FFFFFF0 <= raw <= 0x7FFFFFFF or raw >= 2**63 - 16


def field_values(handle: Any, keys: Iterable[FieldKey]) -> dict[FieldKey, int | float | Exception]:
    """Read fields in one call. Each key maps to its raw value or to the exception that says why there is none.

    The call succeeds while single fields fail, and leaves garbage beside an error: so each field's code comes first.
    Raises DeviceLost or ProviderLost when a field says so.
    """
    wanted = list(keys)
    result: dict[FieldKey, int | float | Exception] = {}
    try:
        values = call("nvmlDeviceGetFieldValues", handle, wanted) if wanted else ()
    except (Unsupported, ReadFailed) as error:
        return dict.fromkeys(wanted, error)
    for key, packed in zip(wanted, FIELD_VALUE.iter_unpack(bytes(values)), strict=True):
        _id, _scope, _time, _latency, kind, code, raw = packed
        if code:
            why = failure(code, f"field {key[0]}")
            if isinstance(why, (DeviceLost, ProviderLost)):
                raise why
            result[key] = why
        elif kind >= len(UNION_MEMBERS):
            result[key] = Unsupported(f"field {key[0]} of unknown type {kind}")
        else:
            result[key] = UNION_MEMBERS[kind].unpack_from(raw)[0]
    return result


def gpm_request(numbers: list[int]) -> Any:
    """A structure that asks for GPM metrics by number; the caller keeps it and sets its samples."""
    request = pynvml.c_nvmlGpmMetricsGet_t()
    request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(numbers)
    for index, number in enumerate(numbers):
        request.metrics[index].metricId = number
    return request


def gpm_values(request: Any) -> list[float | None]:
    """The values of a request in its order, None for a metric that the GPU does not give."""
    rows = memoryview(request).cast("B")[GPM_HEADER.size : GPM_HEADER.size + request.numMetrics * GPM_ROW.size]
    # A comparison is also false for NaN.
    return [value if code == 0 and value >= 0 else None for _metric, code, value, *_names in GPM_ROW.iter_unpack(rows)]


def address(handle: Any) -> int:
    """Where a handle points: the same GPU has the same address for as long as the library is open."""
    return int(ctypes.cast(handle, ctypes.c_void_p).value or 0)
