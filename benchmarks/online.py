"""How much of an evaluator's own speed is left when it judges spans as they come.

Starts an embedded store in a temporary folder, stores answers with documents, and has them judged by the worker's own
code: read by watermark, judged, verdicts stored, marks moved. `bare` is the same scorer over the same samples in
memory, in batches of the size that the worker had come to. Both run by turns, and the best of each counts. Beside the
speeds stands the processor's time of the worker's process for an answer, which says on a busy machine too what the
worker adds.

    python -m benchmarks.online [--spans 512] [--evaluator groundedness] [--rounds 3]
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ANSWERS = (
    "A refund takes five days and is paid to the card that was charged. Shipping is not refunded.",
    "The telescope was built in 1998 and observes in the near infrared with a mirror of four metres.",
    "Orders above forty euros ship free of charge within the country, others for four euros and ninety cents.",
)
DOCUMENT = (
    "Refunds are made within five working days to the means of payment that was used. The cost of shipping is not "
    "refunded. Orders of more than forty euros are shipped without charge within the country. The telescope was "
    "commissioned in 1998; its mirror measures four metres, and it observes between one and five micrometres."
)


def main() -> None:
    """Print both speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--evaluator", default="groundedness")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heliograph-online-") as folder:
        os.environ |= {"HELIOGRAPH_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "heliograph.settings"}
        run(Path(folder), options.spans, options.evaluator, options.rounds)


@dataclass
class Best:
    """The highest speed, in answers a second, and the least processor time an answer, in seconds."""

    speed: float = 0.0
    spent: float = math.inf

    @contextmanager
    def measured(self, count: int) -> Iterator[None]:
        """Measure a block that judges so many answers."""
        started, used = time.perf_counter(), time.process_time()
        yield
        self.speed = max(self.speed, count / (time.perf_counter() - started))
        self.spent = min(self.spent, (time.process_time() - used) / count)


def run(folder: Path, count: int, evaluator: str, rounds: int) -> None:
    """Measure in a folder of its own."""
    # Django's settings are read from the environment that `main` has made.
    import django  # noqa: PLC0415  # after the settings of this run

    django.setup()
    from django.conf import settings  # noqa: PLC0415  # as above
    from django.core.management import call_command  # noqa: PLC0415  # as above

    from benchmarks.query import embedded_store  # noqa: PLC0415  # as above
    from heliograph.accounts.models import Organization, Project  # noqa: PLC0415  # as above
    from heliograph.clickhouse import client, migrate  # noqa: PLC0415  # as above
    from heliograph.evals.models import EvaluationRule, RuleDay, RuleState  # noqa: PLC0415  # as above
    from heliograph.evals.online.scorers import sample_of, scorer_of  # noqa: PLC0415  # as above
    from heliograph.evals.online.worker import take_turn  # noqa: PLC0415  # as above
    from heliograph.query import online  # noqa: PLC0415  # as above
    from heliograph.query.evaluation import Watermark  # noqa: PLC0415  # as above
    from heliograph.query.filters import SpanFilter, TimeRange, to_ns  # noqa: PLC0415  # as above

    with embedded_store(folder) as (url, _):
        settings.CLICKHOUSE_URL = url
        for _step in migrate.migrate():
            pass
        call_command("migrate", verbosity=0)
        project = Project.objects.create(organization=Organization.objects.create(name="b"), name="b", slug="b")
        now = datetime.now(UTC)
        client.insert("spans", _spans(project.pk, count, to_ns(now), now - timedelta(minutes=5)))
        chosen = SpanFilter(range=TimeRange(now - timedelta(days=1), now + timedelta(hours=1)))
        bare_best, online_best = Best(), Best()
        for number in range(rounds):
            EvaluationRule.objects.all().delete()
            rule = EvaluationRule(project=project, name=f"round {number}", evaluator=evaluator)
            rule.begin(now - timedelta(days=1))
            scorer = scorer_of(rule)
            spans: list[object] = []
            place = Watermark(to_ns(now) // 1000)
            while page := online.newest(project.pk, chosen, 1.0, 0, place, limit=256):
                spans += page
                place = page[-1].watermark
            samples = [sample_of(span) for span in spans]  # type: ignore[arg-type]  # spans of the pages above
            scorer.score(samples[:16])
            with online_best.measured(count):
                scored = 0
                while scored < count:
                    scored += take_turn(rule, 3600.0)[0].scored
            size = RuleState.objects.get(rule=rule).batch
            with bare_best.measured(count):
                for first in range(0, count, size):
                    scorer.score(samples[first : first + size])
            day = RuleDay.objects.get(rule=rule)
            print(
                f"round {number + 1}: bare {bare_best.speed:.1f}/s, online {online_best.speed:.1f}/s (best so far), "
                f"batches of {size}, {day.device_seconds:.1f} s in the evaluator",
                flush=True,
            )
        print(
            f"{evaluator}, {count} spans: online {online_best.speed:.1f}/s is {online_best.speed / bare_best.speed:.1%}"
            f" of bare {bare_best.speed:.1f}/s\nprocessor time an answer: bare {bare_best.spent * 1e3:.1f} ms, online"
            f" {online_best.spent * 1e3:.1f} ms: {bare_best.spent / online_best.spent:.1%} of it is the evaluator's"
        )


def _spans(project_id: int, count: int, start_ns: int, received: datetime) -> dict[str, list[object]]:
    documents = json.dumps([{"content": DOCUMENT}])
    question = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "What do you know about it?"}]}])
    return {
        "project_id": [project_id] * count,
        "trace_id": [f"{number + 1:032x}" for number in range(count)],
        "span_id": [f"{number + 1:016x}" for number in range(count)],
        "parent_span_id": [""] * count,
        "start_time": [start_ns] * count,
        "received_at": [received] * count,
        "kind": ["llm"] * count,
        "input": [question] * count,
        "output": [f"{ANSWERS[number % len(ANSWERS)]} That is answer {number}." for number in range(count)],
        "documents": [documents] * count,
        "retention_days": [90] * count,
    }


if __name__ == "__main__":
    main()
