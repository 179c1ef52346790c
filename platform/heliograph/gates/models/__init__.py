"""What gates and monitors are, and what came of them."""

from heliograph.gates.models.gates import Gate, GateRun, Watch
from heliograph.gates.models.jobs import Job
from heliograph.gates.models.monitors import Finding, Look, Monitor

__all__ = ["Finding", "Gate", "GateRun", "Job", "Look", "Monitor", "Watch"]
