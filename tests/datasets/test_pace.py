"""The pace at which an experiment asks a model."""

import threading
from types import SimpleNamespace

import pytest

from heliograph.datasets import calls


class Waited(threading.Event):
    """An event whose waits move a clock instead of passing."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock, self.waits = clock, []  # type: ignore[var-annotated]  # filled with seconds

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self.clock[0] += timeout or 0.0
        return False


def test_questions_go_out_at_the_rate_that_was_set_and_a_pause_is_not_made_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    stop = Waited(clock)
    pace = calls.Pace(30)
    for _ in range(4):
        pace.wait(stop)
    assert (stop.waits, clock) == ([2.0, 2.0, 2.0], [106.0])
    clock[0] += 60.0
    for _ in range(2):
        pace.wait(stop)
    assert stop.waits == [2.0] * 4
    unbounded = calls.Pace(0)
    for _ in range(3):
        unbounded.wait(stop)
    assert len(stop.waits) == 4
