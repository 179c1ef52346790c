"""What GPUs can do at most, with source and date, dense apart from sparse.

Published tables disagree by the sparsity factor: 989 TFLOPS of an H100 SXM are dense BF16, and are printed elsewhere as
its sparse TF32. So a peak is asked for by precision and sparsity, and there is no default for either. Times are those
of NVIDIA's and AMD's product pages as the source gives them; a card's power limit may hold it below.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from serving_math.known import Unknown

Precision = Literal["bf16", "fp16", "fp8", "fp4", "int8"]
TERA = 1e12
GB = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One model of GPU. `peaks` are operations a second by precision and whether with 2:4 sparsity.

    `memory_bytes` is what the maker names, in powers of ten; drivers keep some of it. `names` match what the driver
    calls the device; other forms of the same chip (PCIe, NVL) have other peaks and are not matched.
    """

    name: str
    names: re.Pattern[str]
    memory_bytes: int
    bandwidth: float
    peaks: Mapping[tuple[Precision, bool], float]
    nvlink_bandwidth: float | None
    tdp_w: int
    source: str
    date: str
    note: str = ""

    def peak(self, precision: str, *, sparse: bool) -> float | Unknown:
        """Return operations a second, or why they are not known."""
        for (name, is_sparse), value in self.peaks.items():
            if (name, is_sparse) == (precision, sparse):
                return value
        kind = "sparse" if sparse else "dense"
        return Unknown(f"the table has no {kind} {precision.upper()} peak of {self.name}")

    def ridge(self, precision: str) -> float | Unknown:
        """Return the operations a byte above which arithmetic, not memory, is the bound; of the dense peak."""
        peak = self.peak(precision, sparse=False)
        return peak if isinstance(peak, Unknown) else peak / self.bandwidth


def _gpu(
    name: str,
    names: str,
    memory_gb: int,
    tb_s: float,
    dense: Mapping[Precision, float],
    *,
    tdp_w: int,
    source: str,
    nvlink_gb: int | None = None,
    has_sparsity: bool = True,
    note: str = "",
) -> Gpu:
    peaks: dict[tuple[Precision, bool], float] = {(key, False): value * TERA for key, value in dense.items()}
    if has_sparsity:
        # 2:4 structured sparsity doubles the rate of every tensor precision since Ampere.
        peaks |= {(key, True): 2 * value * TERA for key, value in dense.items()}
    return Gpu(
        name=name,
        names=re.compile(names, re.IGNORECASE),
        memory_bytes=memory_gb * GB,
        bandwidth=tb_s * TERA,
        peaks=peaks,
        nvlink_bandwidth=None if nvlink_gb is None else nvlink_gb * 1e9,
        tdp_w=tdp_w,
        source=source,
        date="2026-11",
        note=note,
    )


_NVIDIA = "NVIDIA data sheet, as listed in llmbook appendix G.1"
GPUS: tuple[Gpu, ...] = (
    _gpu(
        "A100 80GB SXM",
        r"(NVIDIA )?A100-SXM4-80GB",
        80,
        2.039,
        {"bf16": 312, "fp16": 312, "int8": 624},
        nvlink_gb=600,
        tdp_w=400,
        source=_NVIDIA,
    ),
    _gpu(
        "H100 SXM",
        r"(NVIDIA )?H100( SXM5?)?( 80GB HBM3)?",
        80,
        3.35,
        {"bf16": 989, "fp16": 989, "fp8": 1979},
        nvlink_gb=900,
        tdp_w=700,
        source=_NVIDIA,
    ),
    _gpu(
        "H200 SXM",
        r"(NVIDIA )?H200( SXM5?)?( 141GB HBM3e)?",
        141,
        4.8,
        {"bf16": 989, "fp16": 989, "fp8": 1979},
        nvlink_gb=900,
        tdp_w=700,
        source=_NVIDIA,
    ),
    _gpu(
        "B200 SXM",
        r"(NVIDIA )?B200( SXM6?)?",
        180,
        7.7,
        {"bf16": 2250, "fp16": 2250, "fp8": 4500, "fp4": 9000},
        nvlink_gb=1800,
        tdp_w=1000,
        source=_NVIDIA,
        note="8.0 TB/s and 192 GB are printed too: the lower figures stand here",
    ),
    _gpu(
        "L40S",
        r"(NVIDIA )?L40S",
        48,
        0.864,
        {"bf16": 362, "fp16": 362, "fp8": 733},
        tdp_w=350,
        source=_NVIDIA,
        note="half of this with 32-bit accumulation",
    ),
    _gpu(
        "L4",
        r"(NVIDIA )?L4",
        24,
        0.300,
        {"bf16": 121, "fp16": 121, "fp8": 242},
        tdp_w=72,
        source="lightning_fabric/utilities/throughput.py",
        note="half of this with 32-bit accumulation",
    ),
    _gpu(
        "T4",
        r"((NVIDIA |Tesla )+)?T4",
        16,
        0.32,
        {"fp16": 65, "int8": 130},
        tdp_w=70,
        source="lightning_fabric/utilities/throughput.py; memory and power from the data sheet",
        has_sparsity=False,
        note="no BF16",
    ),
    _gpu(
        "MI300X",
        r"(AMD )?(Instinct )?MI300X( OAM)?",
        192,
        5.3,
        {"bf16": 1307, "fp16": 1307, "fp8": 2615},
        nvlink_gb=896,
        tdp_w=750,
        source="AMD data sheet, as listed in llmbook appendix G.1",
        note="links are Infinity Fabric",
    ),
)
BY_NAME = {gpu.name: gpu for gpu in GPUS}


def gpu_of(device_name: str) -> Gpu | Unknown:
    """Return the GPU that a driver or a person names so; `Unknown` for one that is not in the table."""
    text = device_name.strip()
    found = BY_NAME.get(text) or next((gpu for gpu in GPUS if gpu.names.fullmatch(text)), None)
    return found or Unknown(f"{text[:80] or 'a GPU without a name'} is not in the table of GPUs")
