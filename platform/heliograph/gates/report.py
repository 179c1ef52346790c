"""The result of a gate as JSON, the same for every source; the page and the API show it as it is.

{"verdict", "source", "alpha", "reason", "metrics": {name: {..., "holm_p_value"}}, "missing": {name: why},
 "worst": {name: [...]}, "flipped": {name: {"better", "worse", "rows"}}}
"""

from dataclasses import asdict
from typing import Any

from evaluators.regression.gate import GateResult
from heliograph.gates.models import Gate
from heliograph.query.comparison import WorstSpan

EXIT_CODES = {"pass": 0, "fail": 1, "not_enough_data": 2}


def result(gate: Gate, found: GateResult | None, missing: dict[str, str]) -> dict[str, Any]:
    """Return the verdict over all metrics; one that could not be compared leaves the gate open."""
    metrics = {}
    for name, each in (found.metrics if found else {}).items():
        metrics[name] = each.as_dict() | {"holm_p_value": found.holm_p_values[name] if found else None}
    verdict = found.verdict if found else "not_enough_data"
    if missing and verdict == "pass":
        verdict = "not_enough_data"
    return {
        "verdict": verdict,
        "exit_code": EXIT_CODES[verdict],
        "source": gate.source,
        "alpha": gate.alpha,
        "metrics": metrics,
        "missing": missing,
        "reason": " ".join(missing.values()),
    }


def worst_span(row: WorstSpan) -> dict[str, Any]:
    """Return a span to look at."""
    return asdict(row)
