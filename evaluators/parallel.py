"""One scorer in several processes, one a device: several GPUs, or two processes of one GPU, so that one tokenizes while
the other computes."""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import SimpleQueue
from typing import Any

from evaluators import registry
from evaluators.prefetch import ahead
from evaluators.score import PreparingScorer, Sample, Score, Scorer

# Chunks that wait or are being scored, for each device: enough that none idles, few enough to bound memory.
WAITING = 3
# What the initializer of a worker process leaves for its tasks.
_worker: dict[str, Any] = {}


@dataclass(slots=True)
class Usage:
    """How well the devices were used: `busy_s` is the time spent scoring, summed over the processes."""

    devices: int
    busy_s: float = 0.0
    wall_s: float = 0.0
    longest_queue: int = 0

    @property
    def busy_share(self) -> float:
        """Share of the wall time in which a device was at work, from 0 to 1."""
        return self.busy_s / (self.wall_s * self.devices) if self.wall_s else 0.0


def _start(devices: SimpleQueue[str], name: str, settings: dict[str, Any]) -> None:
    _worker.update(name=name, settings={**settings, "device": devices.get()})


def _score(samples: Sequence[Sample]) -> tuple[list[tuple[Any, ...]], float]:
    # Loaded here and not in the initializer, whose errors would only say that the pool is broken.
    scorer: Scorer | None = _worker.get("scorer")
    if scorer is None:
        scorer = _worker["scorer"] = registry.create(_worker["name"], **_worker["settings"])
    started = time.monotonic()
    scores = scorer.score(samples)
    # As plain values: the read-only mapping of a score without details does not travel between processes.
    rows = [(score.value, score.label, score.explanation, dict(score.details)) for score in scores]
    return rows, time.monotonic() - started


def score_by_processes(
    name: str, settings: dict[str, Any], devices: Sequence[str], chunks: Iterable[list[Sample]], usage: Usage
) -> Iterator[tuple[list[Sample], list[Score]]]:
    """Each chunk with its scores, in order; whichever process is free takes the next one.

    Raises what making the scorer or scoring raises in a process.
    """
    context = multiprocessing.get_context("spawn")  # CUDA cannot be used in a forked process
    queue: SimpleQueue[str] = context.SimpleQueue()
    for device in devices:
        queue.put(device)
    started = time.monotonic()
    waiting: deque[tuple[list[Sample], Future[tuple[list[tuple[Any, ...]], float]]]] = deque()
    with ProcessPoolExecutor(len(devices), context, _start, (queue, name, settings)) as pool:

        def first() -> tuple[list[Sample], list[Score]]:
            chunk, future = waiting.popleft()
            rows, busy = future.result()
            usage.busy_s += busy
            usage.wall_s = time.monotonic() - started
            return chunk, [Score(*row) for row in rows]

        for chunk in chunks:
            waiting.append((chunk, pool.submit(_score, chunk)))
            usage.longest_queue = max(usage.longest_queue, len(waiting))
            if len(waiting) >= WAITING * len(devices):
                yield first()
        while waiting:
            yield first()


def score_here(
    scorer: Scorer, chunks: Iterable[list[Sample]], usage: Usage
) -> Iterator[tuple[list[Sample], list[Score]]]:
    """Each chunk with its scores, one after the other in this process; a scorer in two steps prepares the next chunk
    meanwhile, and only its second step counts as busy."""
    started = time.monotonic()
    steps: Iterator[tuple[list[Sample], Callable[[], list[Score]]]]
    if isinstance(scorer, PreparingScorer):
        ready = ahead(chunks, scorer.prepare)
        steps = ((chunk, partial(scorer.score_prepared, chunk, prepared)) for chunk, prepared in ready)
    else:
        steps = ((chunk, partial(scorer.score, chunk)) for chunk in chunks)
    for chunk, score in steps:
        begun = time.monotonic()
        scores = score()
        usage.busy_s += time.monotonic() - begun
        usage.wall_s = time.monotonic() - started
        yield chunk, scores
