"""Read NVIDIA GPUs through NVML, by NVIDIA's own binding (nvidia-ml-py)."""

from gpu_agent.nvml.provider import NvmlProvider

__all__ = ["NvmlProvider"]
