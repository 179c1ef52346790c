"""A worker is woken by the name of a task, which has to be one; a broker that is away keeps nobody from asking."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from heliograph.alerts import queue as alerts
from heliograph.beat import waking
from heliograph.datasets import queue as datasets
from heliograph.erasure import asking as erasure
from heliograph.evals import queue as evals
from heliograph.exports import asking as exports
from heliograph.gates import queue as gates
from heliograph.holds import asking as holds
from heliograph.remap import queue as remap

WAKES: dict[str, Callable[[], None]] = {
    "messages": alerts.wake_worker,
    "experiments": datasets.wake_worker,
    "erasures": erasure.wake_worker,
    "checks": evals.wake_worker,
    "new spans": evals.wake_judges,
    "exports": exports.wake_worker,
    "days of the archive": exports.wake_archive,
    "runs and looks": gates.wake_worker,
    "holds": holds.wake_worker,
    "re-applications": remap.wake_worker,
}


@pytest.mark.parametrize("what", WAKES)
def test_each_wakes_a_task_of_its_own_that_there_is(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(waking.current_app, "send_task", lambda task, **options: sent.append((task, options)))
    WAKES[what]()
    [(task, options)] = sent
    module, _, name = task.rpartition(".")
    assert getattr(import_module(module), name).name == task
    # A page does not wait for a broker.
    assert options == {"retry": False, "countdown": None}


def test_a_task_can_be_woken_later(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(waking.current_app, "send_task", lambda _, **options: sent.append(options["countdown"]))
    remap.wake_worker(2.5)
    assert sent == [2.5]


@pytest.mark.parametrize("error", [OperationalError("away"), ConnectionRefusedError()])
def test_a_broker_that_is_away_is_told_and_keeps_nobody_from_asking(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(waking.current_app, "send_task", away)
    for what, wake in WAKES.items():
        caplog.clear()
        wake()
        assert f"the broker is away; {what} wait for the next beat" in caplog.text


def test_another_fault_of_sending_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(waking.current_app, "send_task", broken)
    with pytest.raises(ZeroDivisionError):
        alerts.wake_worker()
