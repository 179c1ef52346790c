"""The `regress` command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evaluators.errors import UsageError
from evaluators.jsonl import read_lines, to_json
from evaluators.regression.align import Run, align
from evaluators.regression.compare import compare

VERDICT_CODES = {"pass": 0, "fail": 1, "not_enough_data": 2}
# A verdict lists this many of the items that only one run has; the counts are complete.
LISTED_IDS = 20


def command(options: argparse.Namespace) -> int:
    """Print one result and return its verdict's exit code. Raises UsageError for runs that cannot be compared."""
    (baseline, skipped_baseline), (candidate, skipped_candidate) = (
        _read(path, options.metric) for path in (options.baseline, options.candidate)
    )
    try:
        pairs = align(baseline, candidate)
        result = compare(
            pairs.baseline,
            pairs.candidate,
            clusters=pairs.clusters,
            margin=options.margin,
            alpha=options.alpha,
            kind=options.kind,
            higher_is_better=not options.lower_is_better,
            seed=options.seed,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    row = {"metric": options.metric, **result.as_dict()}
    row["items"] = {
        "removed": len(pairs.removed),
        "removed_ids": pairs.removed[:LISTED_IDS],
        "added": len(pairs.added),
        "added_ids": pairs.added[:LISTED_IDS],
        "repeated": pairs.repeated,
        "unscored": baseline.unscored + candidate.unscored,
        "skipped_lines": skipped_baseline + skipped_candidate,
    }
    sys.stdout.write(to_json(row) + "\n")
    return VERDICT_CODES[result.verdict]


def _read(path: Path, metric: str) -> tuple[Run, int]:
    """The run in a file, and how many of its lines were named on standard error and skipped."""
    run, skipped = Run(), 0
    for number, row in read_lines(path):
        try:
            if isinstance(row, ValueError):
                raise row
            run.add(row, metric)
        except ValueError as error:
            skipped += 1
            sys.stderr.write(f"{path}, line {number}: {error}\n")
    return run, skipped
