"""A worker's share of an experiment: some seconds of asking, then the turn of other work.

Each answer is stored as it comes, under a constraint of one a row; what is to be done is what has no result. So a
worker that is killed costs the rows that it was asking, and these are asked again by the next.
"""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from heliograph.accounts.secrets import SecretLostError, decrypt
from heliograph.clickhouse.errors import StoreError
from heliograph.datasets import calls, experiments, recording
from heliograph.datasets.models import Endpoint, Experiment, Result, Row
from heliograph.datasets.targets import Target
from heliograph.events.outbox import record as record_event

logger = logging.getLogger(__name__)

# One worker does everything on a small machine: others have their turn in between.
SLICE_S = 30.0
# A lease is a minute; a worker that lives renews it, and looks whether somebody wants it to end, this often.
RENEW_S = 2.0
# So many refusals and no answer: a wrong key or model, of which a hundred thousand rows need not be asked.
REFUSED_ROWS = 10


@dataclass(frozen=True, slots=True)
class Call:
    """A row that was asked, and what came."""

    row: Row
    asked: calls.Asked


@dataclass(frozen=True, slots=True)
class _Asking:
    """What the threads share."""

    target: Target
    url: str
    api_key: str
    pace: calls.Pace
    stop: threading.Event

    def call(self, row: Row) -> Call | None:
        body = self.target.request(row)
        found = calls.ask(
            self.url,
            self.api_key,
            body,
            attempts=self.target.attempts,
            timeout_s=self.target.timeout_s,
            pace=self.pace,
            stop=self.stop,
        )
        return Call(row, found) if found else None


def work(experiment: Experiment, seconds: float = SLICE_S) -> bool:
    """Ask rows for so long; the caller holds the claim. Returns whether rows are left to ask."""
    try:
        asking = _asking(experiment)
    except (Endpoint.DoesNotExist, SecretLostError) as error:
        said = str(error) if isinstance(error, SecretLostError) else "Its endpoint was removed."
        end(experiment, Experiment.Status.FAILED, said)
        return False
    experiments.begin(experiment)
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(asking.target.concurrency, thread_name_prefix="experiment") as pool:
        try:
            is_left = _ask_rows(experiment, asking, pool, deadline)
        finally:
            asking.stop.set()
    experiment.refresh_from_db()
    return is_left and experiment.is_open


def _asking(experiment: Experiment) -> _Asking:
    target = Target(**experiment.target)
    endpoint = Endpoint.objects.get(project=experiment.project_id, pk=target.endpoint)
    api_key = decrypt(endpoint.api_key) if endpoint.api_key else ""
    return _Asking(target, endpoint.base_url, api_key, calls.Pace(target.rate_per_minute), threading.Event())


def _ask_rows(experiment: Experiment, asking: _Asking, pool: ThreadPoolExecutor, deadline: float) -> bool:
    rows = _pending(experiment)
    under_way: set[Future[Call | None]] = set()
    renewed = time.monotonic()
    is_left = True
    while True:
        # Begun rows finish their tries; at the end of a slice no more are begun.
        while is_left and len(under_way) < asking.target.concurrency and time.monotonic() < deadline:
            row = next(rows, None)
            if row is None:
                is_left = False
            else:
                under_way.add(pool.submit(asking.call, row))
        if not under_way:
            return is_left
        done, under_way = wait(under_way, timeout=RENEW_S, return_when=FIRST_COMPLETED)
        answered = [call for future in done if (call := future.result())]
        if answered:
            experiments.store(experiment, [_result(experiment, call) for call in answered])
        if _is_refused(experiment, answered):
            asking.stop.set()
            end(experiment, Experiment.Status.FAILED, f"The endpoint refuses every row. {answered[-1].asked.error}")
            return False
        if time.monotonic() - renewed > RENEW_S:
            renewed = time.monotonic()
            _record(experiment)
            if experiment.renew():
                asking.stop.set()
                is_left = False


def _is_refused(experiment: Experiment, answered: list[Call]) -> bool:
    """Whether nothing but refusals came so far."""
    is_all = experiment.done == experiment.failed >= min(REFUSED_ROWS, experiment.rows)
    return is_all and bool(answered) and all(call.asked.is_refused for call in answered)


def _pending(experiment: Experiment) -> Iterator[Row]:
    after = 0
    while rows := experiments.pending(experiment, after=after, limit=200):
        yield from rows
        after = rows[-1].position


def _record(experiment: Experiment) -> None:
    try:
        recording.record(experiment)
    except StoreError:
        # Asking goes on; the results know that they have no span yet.
        logger.warning("spans of %s wait for the store", experiment, exc_info=True)


def _result(experiment: Experiment, call: Call) -> Result:
    asked = call.asked
    trace_id, span_id = recording.new_ids()
    told = {name: getattr(asked, name) for name in ("started_ns", "model", "response_id", "finish_reason")}
    return Result(
        experiment=experiment,
        row=call.row,
        key=call.row.key,
        position=call.row.position,
        content_id=call.row.content_id,
        status=Result.Status.ERROR if asked.error else Result.Status.OK,
        output=asked.output,
        error=asked.error[:2_000],
        trace_id=trace_id,
        span_id=span_id,
        call=told,
        is_recorded=False,
        attempts=asked.attempts,
        duration_ms=(asked.ended_ns - asked.started_ns) / 1e6,
        input_tokens=asked.input_tokens,
        output_tokens=asked.output_tokens,
        is_scored=bool(asked.error) or not experiment.evaluators,
    )


def end(experiment: Experiment, status: Experiment.Status, error: str = "") -> None:
    """End a run once, and tell of it in the same transaction."""
    with transaction.atomic():
        changed = Experiment.objects.filter(pk=experiment.pk, status__in=Experiment.OPEN).update(
            status=status, error=error[:2_000], finished_at=timezone.now(), leased_until=None
        )
        experiment.refresh_from_db()
        if changed:
            body = {
                "experiment": experiment.pk,
                "name": experiment.name,
                "status": str(status),
                "dataset": experiment.dataset.name,
                "version": experiment.version,
                "rows": experiment.rows,
                "failed": experiment.failed,
                "scores": experiment.summary,
                "error": error[:500],
            }
            record_event(experiment.project, "experiment.done", body)
