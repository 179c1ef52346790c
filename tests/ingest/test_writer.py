"""Group commit and replay, with the real store and without the protocols."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from heliograph.clickhouse import client
from heliograph.clickhouse.client import close_connections
from heliograph.clickhouse.errors import UnavailableError
from heliograph.clickhouse.migrate import migrate
from heliograph.ingest.begun import Begun
from heliograph.ingest.commit import Committer
from heliograph.ingest.exports import Batch, Export, decode
from heliograph.ingest.gate import StoreGate
from heliograph.ingest.pipeline import Room
from heliograph.ingest.refusals import Busy, NotStored
from heliograph.ingest.replay import Replayer
from heliograph.ingest.signals import TRACES
from heliograph.ingest.spool import DEAD_LETTERS, Spool, file_of, read_file
from heliograph.ingest.store_clock import store_time_us
from heliograph.ingest.writer import Outcome, Writer
from tests.conftest import StoreProcess
from tests.ingest.senders import trace_request
from tests.ingest.stack import eventually

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool", 10_000_000)


@pytest.fixture
def writer(spool) -> Iterator[Writer]:
    writer = Writer(Committer(TRACES, spool.folder), spool, StoreGate())
    yield writer
    writer.stop()


@pytest.fixture
def committer(spool) -> Iterator[Callable[[], Committer]]:
    """Return a function that makes a committer as another process would have it, without memory of earlier ones."""
    made: list[Committer] = []

    def make() -> Committer:
        made.append(Committer(TRACES, spool.folder))
        return made[-1]

    yield make
    for each in made:
        each.close()


def a_batch(project_id: int, spans: int = 2) -> Batch:
    body = trace_request(spans).SerializeToString()
    return decode(Export("traces", project_id, 90, "protobuf", "", time.time_ns(), body))


def poison(batch: Batch) -> Batch:
    """Make a batch that the store refuses for good."""
    batch.decoded.columns["duration_ns"] = ["not a number"] * batch.decoded.accepted
    return batch


def stored(project_id: int) -> tuple[int, int, int]:
    def count(sql: str) -> int:
        [row] = client.query(project_id, f"SELECT {sql} WHERE project_id = %(project_id)s", tag="tests.count")
        return row["n"]

    spans = count("count() AS n FROM spans")
    return spans, count("sum(span_count) AS n FROM traces"), count("sum(spans) AS n FROM span_rollups_1m")


async def test_many_requests_share_few_inserts_and_each_is_answered(writer, project_id):
    outcomes = await asyncio.gather(*(writer.submit(a_batch(project_id)) for _ in range(200)))
    assert outcomes == [Outcome.STORED] * 200
    assert stored(project_id) == (400, 400, 400)
    [row] = client.query(
        project_id,
        "SELECT uniqExact(received_at) AS n FROM spans WHERE project_id = %(project_id)s",
        tag="tests.inserts",
    )
    assert row["n"] <= 10


async def test_one_batch_that_the_store_refuses_does_not_cost_the_others(writer, project_id):
    good = [a_batch(project_id) for _ in range(5)]
    batches = [*good[:3], poison(a_batch(project_id)), *good[3:]]
    results = writer.commit(batches)
    assert [type(result) for result in results] == [Outcome] * 3 + [NotStored] + [Outcome] * 2
    assert stored(project_id) == (10, 10, 10)


async def test_a_request_whose_sender_went_away_does_not_stop_the_writer(writer, project_id):
    waiting = asyncio.create_task(writer.submit(a_batch(project_id)))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await writer.submit(a_batch(project_id)) is Outcome.STORED


async def test_a_full_group_is_made_ready_while_another_is_being_stored(spool, project_id, monkeypatch):
    monkeypatch.setattr("heliograph.ingest.writer.MAX_GROUP_ROWS", 4)
    committer = Committer(TRACES, spool.folder)
    writer = Writer(committer, spool, StoreGate())
    with committer._locked():  # nothing can be stored meanwhile
        waiting = [asyncio.create_task(writer.submit(a_batch(project_id))) for _ in range(6)]
        await asyncio.to_thread(eventually, lambda: writer._busy == 2)
        assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [Outcome.STORED] * 6
    await asyncio.to_thread(writer.stop)
    assert stored(project_id) == (12, 12, 12)


async def test_the_same_spans_in_two_groups_at_once_are_stored_once(spool, project_id, monkeypatch):
    monkeypatch.setattr("heliograph.ingest.writer.MAX_GROUP_ROWS", 2)
    committer = Committer(TRACES, spool.folder)
    writer = Writer(committer, spool, StoreGate())
    batch = a_batch(project_id)
    with committer._locked():
        waiting = [asyncio.create_task(writer.submit(batch)) for _ in range(2)]
        await asyncio.to_thread(eventually, lambda: writer._busy == 2)
    assert await asyncio.gather(*waiting) == [Outcome.STORED] * 2
    await asyncio.to_thread(writer.stop)
    assert stored(project_id) == (2, 2, 2)


async def test_a_stopping_writer_stores_what_waits_and_refuses_what_comes(spool, project_id):
    writer = Writer(Committer(TRACES, spool.folder), spool, StoreGate())
    waiting = [asyncio.create_task(writer.submit(a_batch(project_id))) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.to_thread(writer.stop)
    assert await asyncio.gather(*waiting) == [Outcome.STORED] * 5
    with pytest.raises(Busy, match="stopping"):
        await writer.submit(a_batch(project_id))


@pytest.fixture(scope="module")
def store_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    process = StoreProcess(tmp_path_factory.mktemp("own-store")).start()
    yield process
    process.kill()


@pytest.fixture
def own_store(store_of_the_module, settings) -> Iterator[None]:
    """A store whose tables this test may empty."""
    settings.CLICKHOUSE_URL = store_of_the_module.url
    for _ in migrate():
        pass
    yield
    close_connections()


@pytest.mark.usefixtures("own_store")
def test_an_insert_that_was_left_half_done_is_completed_and_not_repeated(committer, project_id):
    """The store died after it wrote `spans` and before it wrote the views; the replay finds it so."""
    batch = a_batch(project_id, spans=5)
    committer().store([batch])
    assert stored(project_id) == (5, 5, 5)
    for table in ("traces", "span_rollups_1m"):
        # TRUNCATE also forgets the tokens, so this is a table that the insert never reached.
        client.execute_unscoped(f"TRUNCATE TABLE {table}", tag="tests.half_done")
    assert stored(project_id) == (5, 0, 0)
    committer().store([batch], begun_us=0)
    assert stored(project_id) == (5, 5, 5)
    committer().store([batch], begun_us=0)
    assert stored(project_id) == (5, 5, 5)


@pytest.fixture
def died_within(spool, project_id, monkeypatch) -> None:
    """A process and the store died in the middle of an insert of five spans, and nobody was told."""
    monkeypatch.setattr("heliograph.ingest.commit.decode_by_rules", decode)
    batch = a_batch(project_id, spans=5)
    begun_us = store_time_us()
    dead = Committer(TRACES, spool.folder)
    dead.store([batch])
    dead.close()
    for table in ("traces", "span_rollups_1m"):
        client.execute_unscoped(f"TRUNCATE TABLE {table}", tag="tests.half_done")
    assert stored(project_id) == (5, 0, 0)
    Begun(spool.folder, "traces").write(file_of([batch.export], begun_us))


@pytest.mark.usefixtures("own_store", "died_within")
def test_whoever_stores_next_completes_what_a_dead_process_had_begun(committer, project_id):
    committer().store([a_batch(project_id, spans=3)])
    assert stored(project_id) == (8, 8, 8)


@pytest.mark.usefixtures("own_store", "died_within")
def test_the_replayer_completes_it_where_nobody_stores_anything(committer, project_id):
    for _ in range(2):
        committer().complete()
        assert stored(project_id) == (5, 5, 5)


@pytest.mark.usefixtures("own_store")
def test_a_note_that_was_being_written_when_its_process_died_is_of_an_insert_that_had_not_begun(
    committer, project_id, spool
):
    Begun(spool.folder, "traces").write(file_of([a_batch(project_id, spans=5).export], 1)[:-9])
    committer().store([a_batch(project_id, spans=3)])
    assert stored(project_id) == (3, 3, 3)


@pytest.fixture
def half_done(project_id, monkeypatch) -> Callable[[], None]:
    """The next insert is stored in `spans`, reaches no view, and ends as one does on a full disk."""
    for module in ("commit", "replay"):
        monkeypatch.setattr(f"heliograph.ingest.{module}.decode_by_rules", decode)
    insert = client.insert

    def insert_half(*args: object, **options: object) -> None:
        monkeypatch.setattr(client, "insert", insert)
        insert(*args, **options)
        for table in ("traces", "span_rollups_1m"):
            client.execute_unscoped(f"TRUNCATE TABLE {table}", tag="tests.half_done")
        raise UnavailableError("Cannot reserve 1.00 MiB, not enough space")

    return lambda: monkeypatch.setattr(client, "insert", insert_half)


@pytest.mark.usefixtures("own_store")
def test_half_an_insert_that_the_spool_had_no_room_for_is_completed_before_its_sender_comes_again(
    committer, spool, project_id, half_done
):
    """A full disk under the store and the spool: the sender hears 503, and its spans are stored without their sums."""
    spool.max_bytes = 0
    writer = Writer(committer(), spool, StoreGate())
    batch = a_batch(project_id, spans=5)
    half_done()
    [refused] = writer.commit([batch])
    assert isinstance(refused, Busy)
    assert stored(project_id) == (5, 0, 0)
    # By another process, which knows of it by the note alone.
    another = Writer(committer(), spool, StoreGate())
    assert another.commit([batch]) == [Outcome.STORED]
    assert stored(project_id) == (5, 5, 5)
    assert not Begun(spool.folder, "traces").is_there()
    writer.stop()
    another.stop()


@pytest.mark.usefixtures("own_store")
def test_half_an_insert_is_noted_in_the_spool_alone_where_that_has_room(writer, spool, project_id, half_done):
    half_done()
    assert writer.commit([a_batch(project_id, spans=5)]) == [Outcome.SPOOLED]
    assert not Begun(spool.folder, "traces").is_there()
    replayer = Replayer(spool, StoreGate())
    eventually(lambda: not spool.files(), 60)
    replayer.stop()
    assert stored(project_id) == (5, 5, 5)


@pytest.mark.usefixtures("own_store")
def test_a_note_of_which_nothing_was_stored_is_left_to_the_sender(committer, spool, project_id, monkeypatch):
    monkeypatch.setattr("heliograph.ingest.commit.decode_by_rules", decode)
    batch = a_batch(project_id, spans=5)
    Begun(spool.folder, "traces").write(file_of([batch.export], store_time_us()))
    committer().complete()
    assert stored(project_id) == (0, 0, 0)
    committer().store([batch])
    assert stored(project_id) == (5, 5, 5)


def test_the_note_has_its_room_on_the_disk_before_the_disk_is_full(spool, project_id):
    begun = Begun(spool.folder, "traces")
    small, large = (file_of([a_batch(project_id, spans).export], 1) for spans in (2, 200))
    assert len(large) > len(small)
    begun.write(small)
    path = spool.folder / "commit-traces.begun"
    blocks = path.stat().st_blocks
    assert blocks * 512 >= 4 * 2**20
    for group in (large, small):
        begun.clear()
        assert not begun.is_there()
        assert begun.left_over() is None
        # The bodies are as they came, before any rule of redaction.
        assert not path.read_bytes().strip(b"\0")
        begun.write(group)
        [export] = begun.left_over().exports
        assert file_of([export], 1) == group
    assert path.stat().st_blocks == blocks


def test_whoever_clears_another_process_s_note_leaves_nothing_of_it(spool, project_id):
    first, second = Begun(spool.folder, "traces"), Begun(spool.folder, "traces")
    small, large = (file_of([a_batch(project_id, spans).export], 1) for spans in (2, 200))
    path = spool.folder / "commit-traces.begun"
    second.write(small)
    second.stay()
    first.clear()
    first.write(large)
    first.stay()
    second.clear()
    assert not path.read_bytes().strip(b"\0")


@pytest.mark.usefixtures("own_store")
def test_an_insert_from_before_the_spooled_request_came_is_left_alone(committer, project_id):
    """Its token may be forgotten by now, and then it would be stored a second time."""
    batch = a_batch(project_id, spans=5)
    committer().store([batch])
    client.execute_unscoped("TRUNCATE TABLE traces", tag="tests.left_alone")
    committer().store([batch], begun_us=store_time_us() + 60 * 10**6)
    assert stored(project_id) == (5, 0, 5)


@pytest.fixture(params=["a_view_before_ours", "zz_view_behind_ours"])
def refusing_view(own_store, request) -> Iterator[str]:
    """A view of the spans that refuses those of 77 ns for good."""
    client.execute_unscoped("CREATE TABLE IF NOT EXISTS nowhere (n UInt8) ENGINE = Null", tag="tests.view")
    refused = "SELECT throwIf(duration_ns = 77) AS n FROM spans"
    client.execute_unscoped(f"CREATE MATERIALIZED VIEW {request.param} TO nowhere AS {refused}", tag="tests.view")
    yield request.param
    client.execute_unscoped(f"DROP VIEW {request.param}", tag="tests.view")


@pytest.mark.usefixtures("refusing_view")
def test_what_one_view_refuses_reaches_the_table_and_every_other_view_once(writer, committer, project_id):
    """The engine stores the rows before it asks the views, and asks no further view after one that refuses."""
    good, refused = a_batch(project_id, spans=3), a_batch(project_id, spans=2)
    refused.decoded.columns["duration_ns"] = [77, 77]
    assert writer.commit([good, refused]) == [Outcome.STORED, Outcome.STORED]
    assert stored(project_id) == (5, 5, 5)
    committer().store([good, refused])
    committer().store([refused], begun_us=0)
    assert stored(project_id) == (5, 5, 5)


def test_a_half_done_insert_whose_spans_came_again_meanwhile_is_not_doubled(committer, project_id):
    batch = a_batch(project_id, spans=5)
    committer().store([batch, a_batch(project_id, spans=3)])
    committer().store([batch], begun_us=0)
    assert stored(project_id) == (8, 8, 8)


def test_a_spooled_body_that_the_store_refuses_is_set_aside_and_the_rest_is_stored(spool, project_id, monkeypatch):
    good, bad = a_batch(project_id), a_batch(project_id)
    monkeypatch.setattr(
        "heliograph.ingest.replay.decode_by_rules",
        lambda export: poison(decode(export)) if export == bad.export else decode(export),
    )
    spool.append([good.export, bad.export])
    replayer = Replayer(spool, StoreGate())
    try:
        eventually(lambda: not spool.files())
    finally:
        replayer.stop()
    [letter] = (spool.folder / DEAD_LETTERS / str(project_id)).glob("*.spool")
    assert read_file(letter).exports == [bad.export]
    assert stored(project_id) == (2, 2, 2)


def test_while_the_gate_is_closed_nobody_waits_for_the_store(spool, writer, project_id, monkeypatch):
    # A project's rules are in Django's database, which these tests do without; test_rules.py has them.
    monkeypatch.setattr("heliograph.ingest.replay.decode_by_rules", decode)
    writer._gate.close(UnavailableError("away"))
    assert writer.commit([a_batch(project_id)]) == [Outcome.SPOOLED]
    assert stored(project_id)[0] == 0
    replayer = Replayer(spool, writer._gate)
    try:
        eventually(lambda: not spool.files())
    finally:
        replayer.stop()
    assert writer._gate.is_open
    assert stored(project_id) == (2, 2, 2)


def test_a_full_room_makes_the_sender_come_back_and_gives_back_what_was_taken():
    room = Room(capacity=100)
    with room.share() as one, room.share() as two:
        one.take(60)
        with pytest.raises(Busy, match="retry later"):
            two.take(60)
    with room.share() as one:
        one.take(100)
