"""Did the new release get worse? The scores of two releases of a service, paired by prompt."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from evaluators.regression import compare
from heliograph.evals.models import Run
from heliograph.query import evaluation
from heliograph.query.filters import TimeRange

# A drop of two points in the mean is what a reader would call the same.
DEFAULT_MARGIN = 0.02
DEFAULT_DAYS = 14
# Fewer pairs than this cannot settle anything; the answer says so instead of testing.
MIN_PAIRS = 5
EXAMPLES = 10


def check(run: Run) -> dict[str, Any]:
    """Return the verdict of one comparison as JSON.

    Arguments of the run: `service`, `baseline`, `candidate` (releases), `name` of the score, `margin` (absolute),
    `days` to look back.
    """
    given = run.arguments
    margin = float(given.get("margin", DEFAULT_MARGIN))
    end = datetime.now(UTC)
    window = TimeRange(end - timedelta(days=float(given.get("days", DEFAULT_DAYS))), end)
    name = given.get("name", "groundedness")
    paired = evaluation.paired_scores(
        run.project_id, window, name, given["service"], given["baseline"], given["candidate"]
    )
    result: dict[str, Any] = {
        "name": name,
        "service": given["service"],
        "releases": {"baseline": given["baseline"], "candidate": given["candidate"]},
        "scored": {"baseline": len(paired.baseline), "candidate": len(paired.candidate)},
    }
    if len(paired.pairs) < MIN_PAIRS:
        reason = (
            f"{len(paired.pairs)} prompts have a {name} score under both releases; at least {MIN_PAIRS} are needed, "
            "and some hundreds to see a drop of a few points."
        )
        return result | {"verdict": "not_enough_data", "reason": reason, "n": len(paired.pairs)}
    outcome = compare(
        [pair.baseline for pair in paired.pairs],
        [pair.candidate for pair in paired.pairs],
        margin=margin,
    )
    worst = sorted(paired.pairs, key=lambda pair: pair.candidate - pair.baseline)[:EXAMPLES]
    return result | outcome.as_dict() | {"worst": [asdict(pair) for pair in worst]}
