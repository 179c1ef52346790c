"""One rule's turn of a worker: suspects first, then what people want tried again, then the newest that came."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from evaluators.score import Sample, Score
from heliograph.evals.models import EvaluationRule, Gap, RuleDay, RuleState, SetAside
from heliograph.evals.online import marks
from heliograph.evals.online.chosen import ever
from heliograph.evals.online.judging import Fault, Judged, judge
from heliograph.evals.online.scorers import lacks, row_of, sample_of, scorer_of
from heliograph.query import completeness, online, scores
from heliograph.query.evaluation import EvaluationSpan, Watermark
from heliograph.query.filters import EPOCH
from heliograph.query.paging import MAX_PAGE

# A batch shall keep its device busy for about so long: much longer than reading and writing take, and short enough to
# be done again after a crash.
FULL_SECONDS = 2.0
SMALLEST, LARGEST = 16, MAX_PAGE
# What came meanwhile is noticed, and judged first, after so long.
NOTICE_SECONDS = 10.0
# A worker that dies this often with one span alone in its hands dies of that span.
MAX_DEATHS = 3
# Set-aside spans that are kept for people to look at, of one rule; the verdicts of all say why there is none.
MAX_ASIDE = 10_000
# Traces are looked for backwards in slices of this length.
SLICE = timedelta(minutes=10)

Key = tuple[str, str]


@dataclass(slots=True)
class Tally:
    """What one turn did."""

    scored: int = 0
    unscored: int = 0
    aside: int = 0


class RulePass:
    """One turn; `state` is claimed. It ends at `deadline` (time.monotonic), with the gaps, or with the day's budget."""

    def __init__(self, rule: EvaluationRule, state: RuleState, deadline: float) -> None:
        self.rule, self.state, self.deadline = rule, state, deadline
        self.tally = Tally()
        self._chosen = ever(rule.filter)
        self._noticed = time.monotonic()

    def run(self) -> bool:
        """Work; return whether there is more to do at once. Raises what keeps the rule from judging anything."""
        self._suspects()
        if self.state.in_flight:
            return False
        self._retries()
        marks.notice(self.rule, self.state)
        while (gap := self._next_gap()) is not None:
            if time.monotonic() > self.deadline:
                return True
            if self._is_spent():
                return False
            if gap.axis == Gap.Axis.SPANS:
                self._spans(gap)
            else:
                self._slice(gap)
        return False

    def _next_gap(self) -> Gap | None:
        if time.monotonic() - self._noticed > NOTICE_SECONDS:
            marks.notice(self.rule, self.state)
            self._noticed = time.monotonic()
        return marks.next_gap(self.rule)

    def _interrupted(self) -> bool:
        now = time.monotonic()
        return now > self.deadline or now - self._noticed > NOTICE_SECONDS or self._is_spent()

    def _is_spent(self) -> bool:
        if self.rule.device_seconds_a_day is None and self.rule.usd_a_day is None:
            return False
        return is_spent(self.rule, RuleDay.objects.filter(rule=self.rule, day=_today()).first())

    def _affordable(self, spans: Sequence[EvaluationSpan]) -> tuple[Sequence[EvaluationSpan], Sequence[EvaluationSpan]]:
        """Return the spans that the rest of the day's budget pays for at what one has cost lately, and the others.

        One at least, and one alone where nothing is known yet: so a day exceeds its budget by what the last batch cost
        above the usual, and not by a batch.
        """
        rule = self.rule
        if rule.device_seconds_a_day is None and rule.usd_a_day is None:
            return spans, []
        days = RuleDay.objects.filter(rule=rule)
        known = days.filter(Q(scored__gt=0) | Q(unscored__gt=0)).order_by("-day").first()
        if known is None:
            return spans[:1], spans[1:]
        judged = known.scored + known.unscored
        today = known if known.day == _today() else RuleDay()
        room = float(len(spans))
        if rule.device_seconds_a_day is not None and known.device_seconds:
            room = min(room, (rule.device_seconds_a_day - today.device_seconds) * judged / known.device_seconds)
        if rule.usd_a_day is not None and known.usd:
            room = min(room, float((rule.usd_a_day - today.usd) * judged / known.usd))
        most = max(1, math.floor(room))
        return spans[:most], spans[most:]

    # --- Single spans, newest first ----------------------------------------------------------------------------

    def _spans(self, gap: Gap) -> None:
        """Judge a gap's spans page by page; while one is judged, the next is read."""
        page = self._page(gap, Watermark(gap.place_us, gap.place_trace, gap.place_span), self.state.batch)
        with ThreadPoolExecutor(1) as reader:
            while page.spans:
                ahead: Future[_Page] | None = None
                if not page.is_last:
                    ahead = reader.submit(self._page, gap, page.spans[-1].watermark, self.state.batch)
                rest: Sequence[EvaluationSpan] = page.spans
                while rest and not (rest is not page.spans and self._interrupted()):
                    part, rest = self._affordable(rest)
                    last = part[-1].watermark
                    self._batch(part, gap, [last.received_us, last.trace_id, last.span_id])
                if rest:
                    if ahead is not None:
                        ahead.cancel()
                    return
                if ahead is None:
                    break
                if self._interrupted():
                    ahead.cancel()
                    return
                page = ahead.result()
        with transaction.atomic():
            self.state.change()  # only who still holds the rule may close a gap
            gap.delete()

    def _page(self, gap: Gap, before: Watermark, limit: int) -> "_Page":
        name = self.rule.name if gap.skip_judged else ""
        spans = online.newest(
            self.rule.project_id, self._chosen, self.rule.rate, gap.start_us, before, name=name, limit=limit
        )
        return _Page(spans, len(spans) < limit)

    # --- Whole traces, slice by slice ---------------------------------------------------------------------------

    def _slice(self, gap: Gap) -> None:
        """Judge the traces whose last span was stored in the newest slice of a gap."""
        project_id = self.rule.project_id
        if gap.slice_us is None:
            newest = online.last_arrival(project_id, gap.start_us, gap.place_us)
            if newest is None:
                return self._move(gap, gap.start_us)
            gap.place_us = newest + 1
            gap.slice_us = max(gap.start_us, gap.place_us - SLICE // timedelta(microseconds=1))
        floor_us = max(gap.start_us, gap.place_us - SLICE // timedelta(microseconds=1))
        at, end = completeness.Place(gap.slice_us, gap.slice_trace), EPOCH + timedelta(microseconds=gap.place_us)
        while True:
            found = completeness.settled(project_id, at, end, limit=SMALLEST * 4)
            # Whole ones are asked for once more when they would be given up: one may have been stored without being
            # visible when its time came (see `marks.LATE`), and what has its verdict is not read again.
            is_whole = gap.axis == Gap.Axis.COMPLETE
            if not self._traces([id_ for id_, one in found.traces.items() if one.is_whole or not is_whole]):
                return None
            if found.is_last:
                return self._move(gap, floor_us)
            at = found.place
            with transaction.atomic():
                self.state.change()
                gap.slice_us, gap.slice_trace = at.received_us, at.trace_id
                gap.save()
            if self._interrupted():
                return None

    def _traces(self, trace_ids: list[str]) -> bool:
        """Judge what has no verdict in some traces; False where the budget ended it before."""
        after = ("", "")
        while spans := online.of_traces(
            self.rule.project_id,
            trace_ids,
            self._chosen,
            self.rule.rate,
            self.rule.name,
            after,
            limit=self.state.batch,
        ):
            part, _ = self._affordable(spans)
            self._batch(part, None, [])
            if self._is_spent():
                return False
            after = (part[-1].trace_id, part[-1].span_id)
        return True

    def _move(self, gap: Gap, place_us: int) -> None:
        with transaction.atomic():
            self.state.change()
            if place_us <= gap.start_us:
                gap.delete()
            else:
                gap.place_us, gap.slice_us, gap.slice_trace = place_us, None, ""
                gap.save()

    # --- A batch -------------------------------------------------------------------------------------------------

    def _batch(self, spans: Sequence[EvaluationSpan], gap: Gap | None, place: list[Any]) -> None:
        """Judge some spans, store the verdicts, then move `gap` to `place`."""
        aside = set(
            SetAside.objects.filter(rule=self.rule, span_id__in=[span.span_id for span in spans]).values_list(
                "trace_id", "span_id"
            )
        )
        found = [(span, sample_of(span)) for span in spans if (span.trace_id, span.span_id) not in aside]
        found = [(span, sample) for span, sample in found if not lacks(self.rule.evaluator, sample)]
        if found:
            held = [[span.trace_id, span.span_id, 0] for span, _ in found]
            self.state.change(in_flight={"spans": held, "gap": gap and gap.pk, "place": place})
        try:
            self._judge(found, gap.pk if gap else None, place, {})
        except Exception:
            self._forget()
            raise

    def _forget(self) -> None:
        """Take what is in the evaluator's hands back: nobody died of it, and it stays in its gap."""
        self.state.change(in_flight={})

    def _judge(
        self,
        found: Sequence[tuple[EvaluationSpan, Sample]],
        gap: int | None,
        place: list[Any],
        in_flight: dict[str, Any],
    ) -> None:
        judged = Judged([], 0.0, Decimal(0))
        if found:
            scorer = scorer_of(self.rule)
            judged = judge(scorer, [sample for _, sample in found])
            pairs = [(span, verdict) for (span, _), verdict in zip(found, judged.verdicts, strict=True)]
            rows = [row_of(self.rule, span, _score(verdict), scorer) for span, verdict in pairs]
            scores.write_scores(self.rule.project_id, rows, self.rule.project.effective_retention_days)
        with transaction.atomic():
            self.state.change(in_flight=in_flight, batch=self._next_size(len(found), judged.device_seconds))
            if gap is not None:
                us, trace, span_id = place
                Gap.objects.filter(pk=gap).update(place_us=us, place_trace=trace, place_span=span_id)
            if found:
                self._count(judged)
                self._set_aside([(span, one) for span, one in pairs if isinstance(one, Fault)])

    def _count(self, judged: Judged) -> None:
        scored = sum(isinstance(one, Score) and one.is_scored for one in judged.verdicts)
        unscored = len(judged.verdicts) - scored
        self.tally.scored += scored
        self.tally.unscored += unscored
        day, _ = RuleDay.objects.get_or_create(rule=self.rule, day=_today())
        RuleDay.objects.filter(pk=day.pk).update(
            scored=F("scored") + scored,
            unscored=F("unscored") + unscored,
            device_seconds=F("device_seconds") + judged.device_seconds,
            usd=F("usd") + judged.usd,
        )

    def _set_aside(self, faults: Sequence[tuple[EvaluationSpan, Fault]]) -> None:
        room = MAX_ASIDE - SetAside.objects.filter(rule=self.rule).count() if faults else 0
        for span, fault in faults[: max(0, room)]:
            put_aside(self.rule, (span.trace_id, span.span_id), fault.reason)
        self.tally.aside += len(faults)

    def _next_size(self, judged: int, seconds: float) -> int:
        """Return a batch size that fills the device better: twice or half the last, by how long that took."""
        size: int = self.state.batch
        if judged < size // 2 or FULL_SECONDS / 2 <= seconds <= FULL_SECONDS * 2:
            return size
        return min(LARGEST, size * 2) if seconds < FULL_SECONDS else max(SMALLEST, size // 2)

    # --- What a worker died of, and what people want tried again ---------------------------------------------------

    def _suspects(self) -> None:
        """Judge what a dead worker had in its hands, one by one; what it had stored of it is not judged again."""
        left = self.state.in_flight
        if not left:
            return
        spans, gap, place = left["spans"], left.get("gap"), left.get("place", [])
        stored = scores.judged(self.rule.project_id, self.rule.name, [(trace, span) for trace, span, _ in spans])
        spans = [one for one in spans if (one[0], one[1]) not in stored]
        while spans:
            if self._is_spent():
                return
            trace, span_id, deaths = spans.pop(0)
            if deaths >= MAX_DEATHS:
                self._give_up((trace, span_id), deaths)
            else:
                held = {"gap": gap, "place": place, "spans": [[trace, span_id, deaths + 1], *spans]}
                self.state.change(in_flight=held)
                rest = {"gap": gap, "place": place, "spans": spans}
                try:
                    self._judge(self._read([(trace, span_id)]), None, [], rest)
                except Exception:
                    # The store was away, or the like: nobody died of this span.
                    self.state.change(in_flight=rest | {"spans": [[trace, span_id, deaths], *spans]})
                    raise
        self._judge([], gap, place, {})

    def _give_up(self, key: Key, deaths: int) -> None:
        reason = f"the worker ended {deaths} times while this span alone was judged (a crash, no memory, or no end)"
        found = self._read([key])
        if found:
            scorer = scorer_of(self.rule)
            row = row_of(self.rule, found[0][0], Fault(reason).as_score(), scorer)
            scores.write_scores(self.rule.project_id, [row], self.rule.project.effective_retention_days)
        put_aside(self.rule, key, reason)
        self.tally.aside += 1

    def _retries(self) -> None:
        for one in SetAside.objects.filter(rule=self.rule, retry_wanted=True)[:LARGEST]:
            if time.monotonic() > self.deadline or self._is_spent():
                return
            key = (one.trace_id, one.span_id)
            self.state.change(in_flight={"spans": [[*key, 1]]})
            # It comes back where it fails again. Gone before the try, so that a death is counted from one.
            one.delete()
            self._judge(self._read([key]), None, [], {})

    def _read(self, keys: Sequence[Key]) -> list[tuple[EvaluationSpan, Sample]]:
        found = ((span, sample_of(span)) for span in online.by_id(self.rule.project_id, keys))
        return [(span, sample) for span, sample in found if not lacks(self.rule.evaluator, sample)]


@dataclass(frozen=True, slots=True)
class _Page:
    spans: list[EvaluationSpan]
    is_last: bool


def is_spent(rule: EvaluationRule, today: RuleDay | None) -> bool:
    """Whether a rule has used up what it may in a day."""
    seconds, usd = (today.device_seconds, today.usd) if today else (0.0, Decimal(0))
    over_seconds = rule.device_seconds_a_day is not None and seconds >= rule.device_seconds_a_day
    return over_seconds or (rule.usd_a_day is not None and usd >= rule.usd_a_day)


def put_aside(rule: EvaluationRule, key: Key, reason: str) -> None:
    """Keep a span for a person to look at."""
    row, is_new = SetAside.objects.get_or_create(
        rule=rule, trace_id=key[0], span_id=key[1], defaults={"reason": reason}
    )
    if not is_new:
        row.reason, row.tries, row.retry_wanted = reason, row.tries + 1, False
        row.save()


def _score(verdict: Score | Fault) -> Score:
    return verdict.as_score() if isinstance(verdict, Fault) else verdict


def _today() -> Any:
    return datetime.now(UTC).date()
