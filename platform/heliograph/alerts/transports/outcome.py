"""What came of one try to deliver."""

from dataclasses import dataclass

# Enough to see what the receiver found wrong; what it writes beyond is not ours to keep.
MAX_ANSWER_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """`is_gone`: the receiver said that it takes nothing any more. `retry_after_s`: when it asked to be tried again."""

    is_delivered: bool
    status: int | None = None
    answer: str = ""
    error: str = ""
    seconds: float = 0.0
    is_gone: bool = False
    retry_after_s: float | None = None
