"""The agent around a provider that records: what is opened is closed, and nothing that is stuck is touched."""

import threading
import time

import pytest

from gpu_agent import metrics as m
from gpu_agent.agent import EXIT_FAILED, EXIT_OK, Agent, Settings
from gpu_agent.export import Exporter, HttpSender
from gpu_agent.otlp import Encoder
from gpu_agent.provider import Entity, Event, Point, ProviderLost, Sample
from tests.gpu_agent.support import until


class RecordingGpu:
    """Answers with one point, unless told to hang."""

    def __init__(self):
        self.entity = Entity("GPU-0", {"hw.id": "GPU-0"})
        self.hang = threading.Event()
        self.release = threading.Event()
        self.reads = []

    def read(self, interval):
        self.reads.append((interval, time.monotonic()))
        if self.hang.is_set():
            self.release.wait(30)
        return Sample([Point(self.entity, m.POWER, 1.0)])

    def close(self):
        pass


class RecordingProvider:
    """Writes down how it is used."""

    name = "recording"

    def __init__(self, fail=None):
        self.gpu = RecordingGpu()
        self.calls = []
        self.fail = fail
        self.lost_once = threading.Event()

    def open(self):
        self.calls.append("open")

    def devices(self):
        if self.fail:
            raise self.fail
        return [self.gpu]

    def topology(self):
        return Event(None, m.TOPOLOGY, "one")

    def events(self, timeout_s):
        time.sleep(0.02)
        if self.lost_once.is_set():
            self.lost_once.clear()
            raise ProviderLost("unloaded")
        return []

    def close(self):
        self.calls.append("close")


class Running:
    """An agent in a thread of the test."""

    def __init__(self, provider, endpoint):
        exporter = Exporter(HttpSender(endpoint, {}))
        self.agent = Agent(provider, Encoder({}, 1), exporter, Settings(interval_s=0.05, export_interval_s=0.05))
        self.code = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        self.code = self.agent.run()

    def stop(self):
        self.agent.stop()
        self.thread.join(15)
        assert not self.thread.is_alive()
        return self.code


def test_what_was_opened_is_closed_once(otlp):
    provider = RecordingProvider()
    running = Running(provider, otlp.endpoint)
    until(lambda: otlp.points("hw.power"))
    assert running.stop() == EXIT_OK
    assert provider.calls == ["open", "close"]


def test_a_lost_provider_is_closed_before_it_is_opened_again(otlp):
    provider = RecordingProvider()
    running = Running(provider, otlp.endpoint)
    until(lambda: otlp.points("hw.power"))
    provider.lost_once.set()
    until(lambda: provider.calls.count("open") == 2)
    until(lambda: otlp.logs("gpu.driver.reloaded"))
    assert running.stop() == EXIT_OK
    assert provider.calls == ["open", "close", "open", "close"]


def test_a_library_in_which_a_call_hangs_is_left_open(otlp):
    provider = RecordingProvider()
    running = Running(provider, otlp.endpoint)
    until(lambda: otlp.points("hw.power"))
    provider.gpu.hang.set()
    until(lambda: otlp.last("gpu.agent.stuck") == 1)
    assert running.stop() == EXIT_OK
    assert provider.calls == ["open"]
    assert running.agent.outbox.take() == ([], [])
    provider.gpu.release.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "gpu-GPU-0"])
    assert running.agent.outbox.take() == ([], [])  # what comes back too late is thrown away


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_agent_itself_ends_it_with_code_1(otlp):
    running = Running(RecordingProvider(fail=ZeroDivisionError("a bug")), otlp.endpoint)
    running.thread.join(15)
    assert running.code == EXIT_FAILED


def test_interval_classes_keep_their_pace(otlp):
    provider = RecordingProvider()
    running = Running(provider, otlp.endpoint)
    until(lambda: len(provider.gpu.reads) > 44)
    running.stop()
    kinds = [interval for interval, _at in provider.gpu.reads]
    assert kinds[:3] == [m.SLOW, m.MEDIUM, m.FAST]
    assert kinds.count(m.SLOW) == 1
    times = [at for interval, at in provider.gpu.reads if interval is m.MEDIUM]
    assert len(times) >= 3
    # On time against the start, not one interval after the other, so that delays do not add up.
    assert times[-1] - times[0] == pytest.approx(0.5 * (len(times) - 1), abs=0.2)
