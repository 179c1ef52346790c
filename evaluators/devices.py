"""Where a model runs and in which number format, decided from what the hardware says of itself."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path

import torch

# Without these instructions bfloat16 is emulated on a CPU and slower than float32; with them it is 4 to 6 times faster.
_BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
# Without a limit of its own a process would cache models until the machine swaps.
CACHE_SHARE = 0.4


class DeviceError(ValueError):
    """The device that was asked for is not there."""


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Instruction set flags of the first CPU; empty where the system does not list them (not Linux)."""
    listing = Path("/proc/cpuinfo")
    if not listing.exists():
        return frozenset()
    for line in listing.read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def choose_device(wanted: str | None = None) -> torch.device:
    """The device by name, or the best there is: CUDA, then MPS, then CPU. Raises DeviceError if it is not there."""
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise DeviceError(f"no device is called {wanted!r}; use cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"{wanted} was asked for, but torch sees {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("mps was asked for, but this machine or this torch build has none")
    return device


def choose_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, float16 on older GPUs, float32 everywhere else."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and platform.machine() in ("x86_64", "AMD64") and cpu_flags() & _BF16_FLAGS:
        return torch.bfloat16
    return torch.float32


def memory_budget(device: torch.device) -> int:
    """Bytes that cached models may take on a device: a share of what it has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * CACHE_SHARE)
    return int(_physical_memory() * CACHE_SHARE)


def _physical_memory() -> int:
    listing = Path("/proc/meminfo")
    if listing.exists():
        return int(listing.read_text().split("MemTotal:")[1].split()[0]) * 1024
    return 8 * 2**30  # not Linux: a modest laptop
