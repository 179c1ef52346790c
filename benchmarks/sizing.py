"""What a number of spans a day needs: processors, memory, disk, shards, workers, GPUs and dollars, from measured cost.

Each figure names the document that it is from; each assumption and price stands beside it and can be set, so that a
site puts in its own. `docs/scale.md` holds what this prints, and a test keeps the two equal.

    python benchmarks/sizing.py [--peak 3] [--judged 0.01] [--core-hour 0.04] ...
    python benchmarks/sizing.py --write        # puts the tables into docs/scale.md
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
BEGIN, END = "<!-- sizing: begin -->\n", "<!-- sizing: end -->\n"
DAY = 86_400
HOURS_A_MONTH = 730
VOLUMES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
FLEETS = (100, 1_000, 10_000)
# A page is of one project. What one of more spans a day costs has not been measured.
LARGEST_PROJECT = 10_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number, and where it stands."""

    value: float
    unit: str
    what: str
    source: str


_INGEST = "`benchmarks/ingest.py`, [ingest-speed.md](ingest-speed.md)"
_PROFILE = "`benchmarks/ingest.py`, [adr/0020](adr/0020-a-compiled-kernel-for-spans.md)"
COLLECTOR = Figure(0.049, "CPU s per 1,000 spans", "collector", _INGEST)
STORE = Figure(0.068, "CPU s per 1,000 spans", "store, with its views and merges", _INGEST)
INSERT = Figure(
    0.059, "CPU s an insert", "store, of however few rows; requests that arrive meanwhile share the next", _PROFILE
)
SPAN_BYTES = Figure(1_007, "bytes a span", "disk of the store for chats of 2 KB on the wire, rollups included", _INGEST)
COLLECTOR_MEMORY = Figure(623, "MiB", "memory of a collector, peak", _INGEST)
STORE_MEMORY = Figure(653, "MiB", "memory of the store while it takes spans, peak", _INGEST)
PAGE_COST = Figure(
    0.253,
    "CPU s",
    "the store for the overview, the dearest page, of a million spans",
    "`benchmarks/pages.py`, [speed.md](speed.md)",
)
POINTS = Figure(
    0.0338,
    "CPU s per 1,000 points",
    "GPU telemetry, collector and store",
    "`benchmarks/gpu_fleet.py`, [adr/0027](adr/0027-gpu-fleet-rollup.md)",
)
ANSWERS = Figure(
    8.3,
    "answers/s a core",
    "groundedness by the offline default",
    "`benchmarks/online.py`, [online-evaluation.md](online-evaluation.md)",
)
WORKER_MEMORY = Figure(
    963, "MiB", "memory of a worker that judges, peak", "`benchmarks/evaluators.py`, [evaluators.md](evaluators.md)"
)
FIGURES = (
    *(COLLECTOR, STORE, INSERT, SPAN_BYTES, COLLECTOR_MEMORY, STORE_MEMORY),
    *(PAGE_COST, POINTS, ANSWERS, WORKER_MEMORY),
)


@dataclass(frozen=True, slots=True)
class Site:
    """What is assumed of a site; `MEANING` says what each is."""

    peak: float = 3.0
    use: float = 0.6
    disk_use: float = 0.7
    twice_from: float = 100e6
    request_spans: float = 100.0
    inserts: float = 5.0
    pages: float = 0.1
    page_growth: float = 1.6
    web_seconds: float = 0.1
    web_memory: float = 400.0
    judged: float = 0.01
    gpu_answers: float = 60.0
    questions: float = 2.0
    node_cores: float = 16.0
    node_disk: float = 4_000.0
    days: float = 30.0
    hot_days: float = 7.0
    readings: float = 70.0
    core_hour: float = 0.03
    gib_hour: float = 0.004
    ssd_month: float = 0.08
    object_month: float = 0.023


MEANING = {
    "peak": "times the day's mean that arrives in the busiest minutes",
    "use": "of the processors that is used then; the rest is for catching up, and for a machine that is gone",
    "disk_use": "of the disks that is used; merges need room",
    "twice_from": "spans a day from which the store keeps everything twice",
    "request_spans": "spans of a request",
    "inserts": "inserts a second of a collector that is not full (`COMMIT_INTERVAL_SECONDS` of 0.2)",
    "pages": "pages a second that people open, for each 10 million spans a day and at least that",
    "page_growth": "times the cost of a page for ten times the spans, up to 10 million a day of one project",
    "web_seconds": "CPU s of the web process a page",
    "web_memory": "MiB of a web process",
    "judged": "share of the spans that an evaluator judges",
    "gpu_answers": "answers/s of a GPU that judges: the goal of evaluators.md, **not measured**",
    "questions": "questions at a time on a machine of the store, each of 2 GiB (`HELIOGRAPH_QUERY_MEMORY_BYTES`)",
    "node_cores": "cores of a machine of the store",
    "node_disk": "GB of disk of a machine of the store",
    "days": "days that spans are kept",
    "hot_days": "days that they lie on the machines' own disks where there is a bucket for older ones",
    "readings": "readings a second of a GPU of a fleet",
    "core_hour": "dollars for a core and hour",
    "gib_hour": "dollars for a GiB of memory and hour",
    "ssd_month": "dollars for a GB of SSD and month",
    "object_month": "dollars for a GB in a bucket and month, requests left out",
}


@dataclass(frozen=True, slots=True)
class Need:
    """What a volume needs: cores, memory in GiB, disk in GB (of all copies), money in dollars a month."""

    spans: int
    peak: float
    collectors: float
    store: float
    web: float
    workers: float
    gpus: int
    shards: int
    copies: int
    memory: float
    disk: float
    dollars: float
    dollars_cold: float

    @property
    def cores(self) -> int:
        """All of them; no machine has fewer than two."""
        return max(2, math.ceil(self.collectors + self.store + self.web + self.workers))


def need(spans: int, site: Site) -> Need:
    """Return what so many spans a day need; docs/scale.md has these formulas in words."""
    peak = spans / DAY * site.peak
    copies = 2 if spans >= site.twice_from else 1
    pages = site.pages * max(1.0, spans / LARGEST_PROJECT)
    decades = max(0.0, math.log10(min(spans, LARGEST_PROJECT) / 1_000_000))
    collectors = peak * COLLECTOR.value / 1_000 / site.use
    # A quiet store pays for inserts, a busy one for rows; each copy merges for itself.
    inserts = min(peak / site.request_spans, math.ceil(collectors) * site.inserts)
    taking = max(peak * STORE.value / 1_000, inserts * INSERT.value) * copies
    store = (taking + pages * PAGE_COST.value * site.page_growth**decades) / site.use
    web = pages * site.web_seconds / site.use
    answers = spans * site.judged / DAY / site.use
    disk = spans * site.days * SPAN_BYTES.value / 1e9 * copies / site.disk_use
    shards = max(1, math.ceil(store / copies / site.node_cores), math.ceil(disk / copies / site.node_disk))
    memory = (
        math.ceil(collectors) * COLLECTOR_MEMORY.value
        + math.ceil(web) * site.web_memory
        + math.ceil(answers / ANSWERS.value) * WORKER_MEMORY.value
        # As much again as it takes while nobody asks: the system's memory of files.
        + shards * copies * (2 * STORE_MEMORY.value + site.questions * 2_048)
    ) / 1_024
    found = Need(
        spans,
        peak,
        collectors,
        store,
        web,
        answers / ANSWERS.value,
        math.ceil(answers / site.gpu_answers),
        shards,
        copies,
        memory,
        disk,
        0.0,
        0.0,
    )
    machines = HOURS_A_MONTH * (found.cores * site.core_hour + memory * site.gib_hour)
    hot = min(1.0, site.hot_days / site.days)
    # A bucket keeps its own copies, and is never full; each replica has its own files there.
    cold = disk * (hot * site.ssd_month + (1 - hot) * site.disk_use * site.object_month)
    return replace(found, dollars=machines + disk * site.ssd_month, dollars_cold=machines + cold)


def _amount(value: float) -> str:
    """Return a number with two digits that say something."""
    if value >= 10:
        return f"{float(f'{value:.2g}'):,.0f}"
    return f"{value:.2g}" if value >= 0.01 else "< 0.01"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _head(*names: str) -> str:
    return _row(*names) + _row(*("---" for _ in names))


def tables(site: Site) -> Iterator[str]:
    """Yield the lines of all tables."""
    yield "### Measured\n" + _head("figure", "unit", "of what", "from")
    yield from (_row(f"{each.value:g}", each.unit, each.what, each.source) for each in FIGURES)
    yield "\n### Assumed\n" + _head("", "value", "meaning")
    yield from (_row(f"`--{name.replace('_', '-')}`", f"{getattr(site, name):,g}", MEANING[name]) for name in MEANING)
    yield "\n### What it needs\n"
    yield _head(
        *(
            "spans a day",
            "spans/s at the peak",
            "cores",
            "RAM, GiB",
            f"disk for {site.days:g} days, GB",
            "shards x copies",
        ),
        *("collectors", "workers that judge", "or GPUs", "$ a month", "with a bucket"),
    )
    needs = [need(spans, site) for spans in VOLUMES]
    for each in needs:
        yield _row(
            *(f"{each.spans:,}", _amount(each.peak), each.cores, _amount(each.memory), _amount(each.disk)),
            *(f"{each.shards} x {each.copies}", math.ceil(each.collectors), math.ceil(each.workers), each.gpus),
            *(_amount(each.dollars), _amount(each.dollars_cold)),
        )
    yield "\n### Where the cores go\n" + _head("spans a day", "collectors", "store", "web", "evaluators")
    for each in needs:
        parts = (each.collectors, each.store, each.web, each.workers)
        yield _row(f"{each.spans:,}", *(_amount(part) for part in parts))
    yield "\n### GPUs that are watched\n" + _head("GPUs", "points/s", "cores")
    for gpus in FLEETS:
        points = gpus * site.readings
        yield _row(f"{gpus:,}", f"{points:,.0f}", _amount(points * POINTS.value / 1_000 / site.use))


def main() -> None:
    """Print the tables, or put them into the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Site):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=float, default=field.default, help=MEANING[field.name]
        )
    parser.add_argument("--write", action="store_true", help="into docs/scale.md")
    given = vars(parser.parse_args())
    should_write = given.pop("write")
    text = "".join(tables(Site(**given)))
    if should_write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}", encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
