"""A page is fetched within bounds, from where it may be, and what goes wrong is said without a word of the answer."""

import asyncio
from collections.abc import Iterator

import pytest

from heliograph.scrape.addresses import ForbiddenAddressError, Policy, judge
from heliograph.scrape.fetch import ScrapeError, client, fetch
from heliograph.scrape.runner import Outcome, RoomShare, Scraper, Target, next_beat
from tests.scrape.pages import PAGE, Server, serving

HERE = Policy(loopback=True)


@pytest.fixture
def pages() -> Iterator[Server]:
    with serving() as server:
        yield server


async def get(url: str, policy: Policy = HERE, seconds: float = 10) -> bytes:
    async with client() as http:
        return (await fetch(http, url, seconds, policy)).body


async def test_a_page_comes_as_it_is_and_is_asked_for_in_both_formats(pages: Server) -> None:
    assert await get(pages.url()) == PAGE
    [headers] = pages.headers
    assert "application/openmetrics-text" in headers["accept"]
    assert headers["host"] == pages.address.removeprefix("http://")
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/missing", "status 404"),
        ("/moved", "redirects"),
        ("/zipped", "compressed"),
        ("/huge", "more than 16 MiB"),
    ],
)
async def test_what_is_no_page_is_said_in_words_of_our_own(pages: Server, path: str, said: str) -> None:
    with pytest.raises(ScrapeError, match=said) as caught:
        await get(pages.url(path))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/slow", "/trickle"])
async def test_the_time_is_bounded_as_a_whole(pages: Server, path: str) -> None:
    with pytest.raises(ScrapeError, match=r"within 0\.3 s"):
        await get(pages.url(path), seconds=0.3)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/metrics", "Nothing answers"),
        ("http://no-such-host.invalid/metrics", "cannot be resolved"),
        ("http://169.254.169.254/latest/meta-data", "link-local"),
    ],
)
async def test_an_address_that_leads_nowhere_says_so(url: str, said: str) -> None:
    with pytest.raises(ScrapeError, match=said):
        await get(url)


async def test_this_server_itself_is_scraped_only_where_the_settings_say_so(pages: Server) -> None:
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ScrapeError, match="HELIOGRAPH_SCRAPE_LOOPBACK"):
            await get(pages.url().replace("127.0.0.1", host), Policy(loopback=False))
    assert pages.asked == {}


@pytest.mark.parametrize("ip", ["10.1.2.3", "192.168.0.7", "172.16.9.9", "8.8.8.8", "fd00::1", "2001:4860::8888"])
def test_private_and_public_networks_are_allowed(ip: str) -> None:
    assert str(judge(ip, Policy(loopback=False))) == ip


FORBIDDEN = [
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "0.0.0.0",
    "::",
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",  # 169.254.169.254 behind a NAT64 gateway
    "2002:7f00:1::",  # 127.0.0.1 by 6to4
    "255.255.255.255",
    "ff02::1",
]


@pytest.mark.parametrize("ip", FORBIDDEN)
def test_no_other_address_is(ip: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        judge(ip, Policy(loopback=False))


class Notes:
    """What a scraper delivered and noted."""

    def __init__(self, *targets: Target) -> None:
        self.targets = list(targets)
        self.up: dict[int, list[float]] = {}
        self.names: dict[int, set[str]] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.refuses = ""

    async def load(self) -> list[Target]:
        return list(self.targets)

    async def deliver(self, target: Target, request: object, now_ns: int) -> None:
        if self.refuses:
            raise ScrapeError(self.refuses)
        metrics = request.resource_metrics[0].scope_metrics[0].metrics  # type: ignore[attr-defined]
        self.names[target.id] = {metric.name for metric in metrics}
        [up] = [metric.gauge.data_points[0].as_double for metric in metrics if metric.name == "up"]
        self.up.setdefault(target.id, []).append(up)

    async def note(self, outcomes: dict[int, Outcome]) -> None:
        self.outcomes.update(outcomes)

    def scraper(self) -> Scraper:
        return Scraper(self.load, self.deliver, self.note, HERE, room=RoomShare, reload_s=0.05)  # type: ignore[arg-type]


def target(number: int, url: str, interval_s: float = 0.1, timeout_s: float = 5) -> Target:
    return Target(number, 1, url, interval_s, timeout_s, (("service.name", f"llm-{number}"),))


async def until(ready: object, seconds: float = 240) -> None:
    async with asyncio.timeout(seconds):
        while not ready():  # type: ignore[operator]  # noqa: ASYNC110  # a plain condition, not an event
            await asyncio.sleep(0.01)  # polls a plain condition


async def running(notes: Notes, ready: object) -> None:
    """Scrape until `ready` is true, and then once more so that it is noted."""
    stop = asyncio.Event()
    task = asyncio.create_task(notes.scraper().run(stop))
    try:
        await until(ready)
    finally:
        stop.set()
        await task


async def test_one_slow_target_delays_no_other(pages: Server) -> None:
    notes = Notes(*(target(number, pages.url("/slow"), timeout_s=20) for number in range(30)), target(99, pages.url()))
    await running(notes, lambda: len(notes.up.get(99, [])) >= 5)
    assert set(notes.up) == {99}
    assert notes.outcomes[99].samples == 2
    assert {"vllm:num_requests_running", "up", "scrape_duration_seconds", "scrape_samples_scraped"} <= notes.names[99]


async def test_a_target_that_fails_is_down_and_says_why(pages: Server) -> None:
    paths = ["/missing", "/html", "/partly", "/openmetrics"]
    notes = Notes(*(target(number, pages.url(path)) for number, path in enumerate(paths)))
    await running(notes, lambda: all(notes.up.get(number) for number in range(4)) and len(notes.outcomes) == 4)
    assert [notes.up[number][0] for number in range(4)] == [0, 0, 1, 1]
    said = [notes.outcomes[number].error for number in range(4)]
    assert [text.split(".")[0] for text in said] == [
        "It answered with status 404 instead of 200",
        "No metric can be read there: it is no page in Prometheus' or OpenMetrics' text",
        "1 parts of the page could not be read, the first in line 5; the rest is stored",
        "",
    ]
    assert "secret" not in " ".join(said)


async def test_targets_come_and_go_while_it_runs(pages: Server) -> None:
    notes = Notes(target(1, pages.url("/a")))

    def second() -> bool:
        if notes.up.get(1):
            notes.targets = [target(2, pages.url("/b"))]
        return len(notes.up.get(2, [])) >= 2

    await running(notes, second)
    before = len(pages.asked["/a"])
    notes.targets = []
    await running(notes, lambda: True)
    assert len(pages.asked["/a"]) == before


async def test_what_the_pipeline_refuses_is_the_targets_error(pages: Server) -> None:
    notes = Notes(target(1, pages.url()))
    notes.refuses = "Its points were refused: over the limit."
    await running(notes, lambda: 1 in notes.outcomes)
    assert notes.outcomes[1].error == notes.refuses


async def test_a_stop_waits_for_what_is_on_its_way_to_the_store(pages: Server) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    class Slow(Notes):
        async def deliver(self, target: Target, request: object, now_ns: int) -> None:
            begun.set()
            # The store has the points; its answer comes only after the stop.
            await asyncio.sleep(0.2)
            ended.set()

    stop = asyncio.Event()
    notes = Slow(target(1, pages.url()))
    task = asyncio.create_task(notes.scraper().run(stop))
    await asyncio.wait_for(begun.wait(), 20)
    stop.set()
    await task
    assert ended.is_set()
    assert notes.outcomes[1].samples == 2


def test_a_beat_keeps_its_phase_over_restarts() -> None:
    it = target(1, "http://a:1/metrics", 15)
    first = next_beat(it, 1_000.0)
    assert 1_000 < first <= 1_015
    assert next_beat(it, first + 0.001) == pytest.approx(first + 15)
    phases = {round(next_beat(target(1, f"http://a:{port}/metrics", 15), 1_000.0), 1) for port in range(100)}
    assert len(phases) > 50
