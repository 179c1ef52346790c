"""Does the answer match a pattern?"""

from __future__ import annotations

import regex as patterns

from evaluators.judges.base import SampleScorer, passed
from evaluators.score import Sample, Score

# A pattern of a user can be exponential; the engine gives up instead of holding the worker.
TIMEOUT_SECONDS = 1.0


def regex(
    *, pattern: str | None = None, full: bool = False, ignore_case: bool = False, negate: bool = False
) -> SampleScorer:
    """1 when the answer holds the pattern (`full`: is it as a whole; `negate`: does not). Without `pattern` each sample
    brings its own as `extra["pattern"]`. Raises ValueError for a pattern that does not compile.
    """
    flags = patterns.IGNORECASE if ignore_case else 0

    def compiled(text: str) -> patterns.Pattern[str]:
        try:
            return patterns.compile(text, flags)
        except patterns.error as error:
            raise ValueError(f"the pattern {text!r} does not compile: {error}") from error

    fixed = None if pattern is None else compiled(pattern)

    def judge(sample: Sample) -> Score:
        own = sample.extra.get("pattern")
        if fixed is None and not isinstance(own, str):
            return Score.unscored("neither the setting nor the sample has a pattern")
        try:
            used = fixed or compiled(str(own))
            find = used.fullmatch if full else used.search
            found = find(sample.answer, timeout=TIMEOUT_SECONDS)
        except TimeoutError:
            return Score.unscored(f"the pattern took longer than {TIMEOUT_SECONDS} s")
        except ValueError as error:
            return Score.unscored(str(error))
        span = {} if found is None else {"span": list(found.span())}
        return passed((found is None) == negate, "matches" if found else "does not match", span)

    arguments = {"pattern": pattern, "full": full, "ignore_case": ignore_case, "negate": negate}
    return SampleScorer("regex", judge, "1", arguments)
