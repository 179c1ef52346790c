"""1,000 alert rules over a million spans: how long an evaluation takes, beside the bare query over the same rows.

    python benchmarks/alerts.py [--spans 1000000] [--rules 1000] [--cores 2]

The spans are an hour of 200 services, 5 models and 3 releases. The rules are of every kind but drift: thresholds,
changes and budgets of one service each, and groups by model and release. Both are bound to so many cores.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]

MEASURES = ("latency_p95", "latency_p99", "error_rate", "requests", "cost", "ttft_p95", "output_tokens", "silence")
SERVICES, MODELS, RELEASES = 200, 5, 3
INSERT = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[: given.cores]))
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HELIOGRAPH_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "heliograph.settings"}
        run(Path(folder), given.spans, given.rules, given.cores)


def run(folder: Path, spans: int, rules: int, cores: int) -> None:
    import django  # noqa: PLC0415  # after the environment is set
    from django.conf import settings  # noqa: PLC0415  # as above

    django.setup()
    from tests.conftest import StoreProcess  # noqa: PLC0415  # as above

    store = StoreProcess(folder / "store").start()
    try:
        os.environ["HELIOGRAPH_CLICKHOUSE_URL"] = store.url
        settings.CLICKHOUSE_URL = store.url
        measure(spans, rules, cores, store.process.pid)
    finally:
        store.stop()


def measure(spans: int, rules: int, cores: int, store: int) -> None:
    from django.core.management import call_command  # noqa: PLC0415  # as above

    from heliograph.accounts.models import Organization, Project  # noqa: PLC0415  # as above
    from heliograph.alerts import evaluate as evaluation  # noqa: PLC0415  # as above
    from heliograph.alerts.models import Alert  # noqa: PLC0415  # as above
    from heliograph.alerts.tell import tell  # noqa: PLC0415  # as above
    from heliograph.clickhouse import client, migrate  # noqa: PLC0415  # as above

    call_command("migrate", verbosity=0)
    list(migrate.migrate())
    project = Project.create(Organization.objects.create(name="bench"), "bench")
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    begun = time.monotonic()
    fill(project.pk, spans, start)
    [row] = client.query(
        project.pk, "SELECT count() AS n FROM span_rollups_1m WHERE project_id = %(project_id)s", tag="bench"
    )
    print(f"{spans:,} spans stored in {time.monotonic() - begun:.0f} s: {row['n']:,} rows of the rollup")
    add_rules(project, rules)
    bare = [timed(lambda: client.query(project.pk, BARE, tag="bench")) for _ in range(5)]
    print(f"bare query (p95 and errors by service and minute over the whole hour): {statistics.median(bare):.2f} s")
    took, of_cpu, written = [], [], 0
    for minute in range(40, 46):  # the first opens connections and makes the alerts' rows
        now = start + timedelta(minutes=minute + 1)
        begun, used = time.monotonic(), cpu(store)
        judged = evaluation.evaluate(project, now)
        written += tell(project, now)
        took.append(time.monotonic() - begun)
        of_cpu.append(cpu(store) - used)
        assert judged == rules, judged
    told = ", ".join(f"{seconds:.2f}" for seconds in took)
    print(f"{rules:,} rules on {cores} cores, an evaluation each: {told} s")
    print(f"{Alert.objects.count():,} alerts stand, {written:,} messages written")
    print(f"CPU of this process and the store: {statistics.median(of_cpu[1:]):.2f} s, also where others use the cores")
    steady = statistics.median(took[1:])
    print(f"median {steady:.2f} s, {steady / statistics.median(bare):.1f} times the bare query; the bound is 10 s")


BARE = """
SELECT service, minute, quantilesTDigestMerge(0.5, 0.95, 0.99)(duration) AS latency,
    sum(errors) AS failed, sum(spans) AS n
FROM span_rollups_1m WHERE project_id = %(project_id)s GROUP BY service, minute
"""


def cpu(store: int) -> float:
    """Return the CPU seconds of this process and of the store's, which is named by its id."""
    fields = Path(f"/proc/{store}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


# Written by the store itself: what is measured is the reading, and a million spans are there in seconds.
FILL = """
INSERT INTO spans (project_id, trace_id, span_id, parent_span_id, start_time, duration_ns, ttft_ns, service, name, kind,
    status, model, release, input_tokens, output_tokens, usage_counted, is_entry, retention_days)
SELECT %(project_id)s, leftPad(hex(number), 32, '0'), leftPad(hex(number), 16, '0'), '',
    fromUnixTimestamp64Nano(toInt64(%(start_ns)s + number * %(step_ns)s), 'UTC'),
    toUInt64(randLogNormal(19, 1)), toUInt64(randLogNormal(18, 1)),
    concat('service-', toString(number %% %(services)s)), 'answer', 'agent',
    if(rand() %% 50 = 0, 'error', 'ok'),
    concat('model-', toString(number %% %(models)s)), concat('r', toString(number %% %(releases)s)),
    100, 50, 1, 1, 90
FROM numbers(%(first)s, %(count)s)
"""


def fill(project_id: int, spans: int, start: datetime) -> None:
    from heliograph.clickhouse import client  # noqa: PLC0415  # as above

    fixed = {"project_id": project_id, "services": SERVICES, "models": MODELS, "releases": RELEASES}
    fixed |= {"start_ns": int(start.timestamp()) * 10**9, "step_ns": 3_600 * 10**9 // spans}
    for first in range(0, spans, INSERT):
        with client.answered_within(600):  # others may use the cores
            client.execute_unscoped(FILL, fixed | {"first": first, "count": min(INSERT, spans - first)}, tag="bench")


def add_rules(project: object, rules: int) -> None:
    from heliograph.alerts.models import Channel, Rule  # noqa: PLC0415  # as above

    conditions = {
        "threshold": {"side": "above", "bound": 5.0},
        "change": {"side": "above", "by": 1.0},
        "burn_rate": {"objective": 0.95, "factor": 2.0, "short": 5, "long": 30},
    }
    found = []
    for number in range(rules):
        kind = ("threshold", "threshold", "change", "burn_rate", "threshold")[number % 5]
        is_grouped = number % 50 == 0
        found.append(
            Rule(
                project=project,
                name=f"rule {number}",
                measure="error_rate" if kind == "burn_rate" else MEASURES[number // 5 % len(MEASURES)],
                window=5 if number % 3 else 10,
                kind=kind,
                condition=conditions[kind],
                by=["service", "model"] if is_grouped else [],
                only={} if is_grouped else {"service": [f"service-{number % SERVICES}"]},
            )
        )
    Rule.objects.bulk_create(found)
    channel = Channel.objects.create(project=project, name="hook", kind="webhook")
    channel.rules.add(*found)


if __name__ == "__main__":
    main()
