"""Why a call was slow: evidence in, a verdict in words with its numbers out. Pure; `diagnosis` gathers the evidence."""

from heliograph.query.verdicts.evidence import (
    Baseline,
    EngineEvidence,
    Evidence,
    Finding,
    GpuEvidence,
    Measured,
    Usual,
    Verdict,
)
from heliograph.query.verdicts.rules import judge

__all__ = [
    "Baseline",
    "EngineEvidence",
    "Evidence",
    "Finding",
    "GpuEvidence",
    "Measured",
    "Usual",
    "Verdict",
    "judge",
]
