"""Why a judge gave no answer.

JudgeError - no usable answer came
|- RetryableError - the endpoint was busy, away or too slow; another try may help
`- RefusedError - the request is not accepted; another try will not help
JudgeAwayError - none of a batch could be judged, because the judge is not to be had at the moment
"""

from __future__ import annotations


class JudgeError(Exception):
    """No usable answer came."""


class RetryableError(JudgeError):
    """The endpoint was busy, away or too slow. `wait` is what it asked for, in seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class RefusedError(JudgeError):
    """The request is not accepted; `status` is HTTP's where there is one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_about_us(self) -> bool:
        """Whether it says that nobody may ask, or that there is no such model: the same for every sample."""
        return self.status in {401, 402, 403, 404}


class JudgeAwayError(Exception):
    """The judge is not to be had at the moment; nothing is said about any sample."""
