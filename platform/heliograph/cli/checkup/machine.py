"""Python, its packages, disk and GPUs of this machine."""

import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from heliograph.cli.checkup.finding import Finding

_OLDEST_PYTHON = (3, 11)
# Below the first ClickHouse cannot merge the parts of a busy day; below the second ingest is near to its spool only.
_LITTLE_BYTES, _TOO_LITTLE_BYTES = 10 * 2**30, 2**30
_EVALUATORS = ("torch", "transformers")


def python() -> Iterator[Finding]:
    """Python's version."""
    version = sys.version_info
    said = f"Python {version.major}.{version.minor}.{version.micro} at {sys.executable}"
    if (version.major, version.minor) < _OLDEST_PYTHON:
        yield Finding("python", "failure", said, "Install Python 3.11 or newer and make the environment anew.")
    else:
        yield Finding("python", "ok", said)


def packages() -> Iterator[Finding]:
    """Which halves are installed. torch is not imported, which takes seconds, only looked for."""
    for name, extra in (("django", "server"), *((name, "evaluators") for name in _EVALUATORS)):
        try:
            yield Finding(name, "ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "skipped", f"{name} is not installed", f"To run it: pip install 'heliograph[{extra}]'")


def disk(folder: Path) -> Iterator[Finding]:
    """Room where the data is, or would be."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    usage = shutil.disk_usage(existing)
    said = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.0f} GiB free at {existing}"
    mend = "Free some, or name another disk by HELIOGRAPH_DATA_DIR; HELIOGRAPH_RETENTION_DAYS keeps less."
    if usage.free < _TOO_LITTLE_BYTES:
        yield Finding("disk", "failure", said, mend)
    elif usage.free < _LITTLE_BYTES:
        yield Finding("disk", "warning", said, mend)
    else:
        yield Finding("disk", "ok", said)
    if not os.access(existing, os.W_OK):
        yield Finding("disk", "failure", f"{existing} is not writable", f"chown it to {os.getuid()}, or name another.")


def gpu() -> Iterator[Finding]:
    """NVIDIA's driver and its GPUs, by NVML."""
    try:
        nvml = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        yield Finding("gpu", "skipped", "NVML is not installed", "On a host with GPUs: pip install 'heliograph[gpu]'")
        return
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        yield _no_gpu(str(error))
        return
    try:
        count, driver = nvml.nvmlDeviceGetCount(), nvml.nvmlSystemGetDriverVersion()
        if count:
            yield Finding("gpu", "ok", f"{count} GPUs, driver {driver}")
        else:
            yield Finding("gpu", "warning", f"driver {driver} sees no GPU", "nvidia-smi and dmesg say why.")
    except nvml.NVMLError as error:
        yield Finding(
            "gpu", "failure", f"NVML: {error}", "A GPU may be lost: see dmesg for XID errors; reset or reboot."
        )
    finally:
        nvml.nvmlShutdown()


def _no_gpu(error: str) -> Finding:
    lower = error.lower()
    if "version mismatch" in lower:
        return Finding("gpu", "failure", f"NVML: {error}", "The driver was updated: reboot, or reload its modules.")
    if "permission" in lower:
        return Finding("gpu", "failure", f"NVML: {error}", "Give this user /dev/nvidia*; in a container --gpus all.")
    if "driver not loaded" in lower:
        return Finding("gpu", "failure", f"NVML: {error}", "Load it: modprobe nvidia; else install the driver.")
    return Finding("gpu", "skipped", f"no NVIDIA GPU here ({error})")
