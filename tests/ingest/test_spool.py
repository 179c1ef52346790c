"""The spool's files: whole or not at all, bounded, and honest about damage."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.ingest import spool as spools
from heliograph.ingest.exports import Export
from heliograph.ingest.spool import DEAD_LETTERS, Spool, SpoolFull, read_file

NOW_US = 1_700_000_000_000_000


def an_export(body: bytes = b"body", project_id: int = 1, signal: str = "traces") -> Export:
    return Export(signal, project_id, 90, "protobuf", "gzip", 1_700_000_000_000_000_000, body, items=1)


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool", max_bytes=100_000)


def test_a_group_is_read_back_as_it_was_written_in_the_order_of_arrival(spool):
    groups = [[an_export(b"1"), an_export(b"2", project_id=7)], [an_export(b"")], [an_export(bytes(range(256)))]]
    for group in groups:
        spool.append(group)
    read = [read_file(path) for path in spool.files()]
    assert [group.exports for group in read] == groups
    assert not any(group.damage for group in read)


def test_a_full_spool_refuses_and_keeps_what_it_has(spool):
    spool.append([an_export(bytes(60_000))])
    with pytest.raises(SpoolFull, match="HELIOGRAPH_SPOOL_MAX_BYTES"):
        spool.append([an_export(bytes(60_000))])
    assert len(spool.files()) == 1


def test_a_spool_that_cannot_be_written_refuses(spool):
    (spool.folder / DEAD_LETTERS).rmdir()
    spool.folder.rmdir()
    with pytest.raises(SpoolFull, match="cannot be written"):
        spool.append([an_export()])


@settings(deadline=None)  # a shared disk and shared cores have bad moments
@given(cut=st.integers(min_value=0, max_value=500))
def test_of_a_torn_file_everything_before_the_tear_is_read(tmp_path_factory, cut):
    spool = Spool(tmp_path_factory.mktemp("torn"), max_bytes=100_000)
    exports = [an_export(bytes(100)), an_export(bytes(100))]
    spool.append(exports)
    [path] = spool.files()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    group = read_file(path)
    assert group.exports == exports[: len(group.exports)]
    assert bool(group.damage) == bool(cut)


@settings(deadline=None)  # a shared disk and shared cores have bad moments
@given(position=st.integers(min_value=8, max_value=400), bit=st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_is_recognised_by_the_checksum(tmp_path_factory, position, bit):
    spool = Spool(tmp_path_factory.mktemp("flipped"), max_bytes=100_000)
    spool.append([an_export(bytes(300))])
    [path] = spool.files()
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)
    assert read_file(path).damage
    assert not read_file(path).exports


def test_a_file_of_something_else_is_damaged_as_a_whole(spool):
    path = spool.folder / "1.spool"
    path.write_bytes(b"something else")
    assert read_file(path).damage


def test_only_one_at_a_time_replays(spool):
    other = Spool(spool.folder, max_bytes=1)
    with spool.replay_lock() as mine, other.replay_lock() as theirs:
        assert (mine, theirs) == (True, False)
    with other.replay_lock() as later:
        assert later


def bodies(batch: spools.ReplayBatch) -> list[bytes]:
    return [export.body for group in batch.groups for export in group.exports]


def test_groups_that_were_never_tried_are_replayed_together_by_signal_and_a_tried_one_alone(spool):
    for number in range(4):
        spool.append([an_export(b"span %d" % number)], begun_us=7 if number == 1 else None)
        spool.append([an_export(b"point %d" % number, signal="metrics")])
    batches = []
    for batch in spool.batches(lambda: NOW_US):
        batches.append((bodies(batch), batch.begun_us))
        spool.remove(batch.groups)
    assert batches == [
        ([b"span 1"], 7),
        ([b"span 0", b"span 2", b"span 3"], None),
        ([b"point 0", b"point 1", b"point 2", b"point 3"], None),
    ]
    assert not spool.files()


def test_a_batch_is_no_larger_than_a_group_commit(spool, monkeypatch):
    monkeypatch.setattr(spools, "BATCH_ITEMS", 2)
    for number in range(5):
        spool.append([an_export(b"%d" % number)])
    sizes = []
    for batch in spool.batches(lambda: NOW_US):
        sizes.append(len(batch.groups))
        spool.remove(batch.groups)
    assert sizes == [2, 2, 1]


def test_a_replay_that_was_cut_off_is_repeated_with_the_same_groups_whatever_came_since(spool):
    for number in range(3):
        spool.append([an_export(b"%d" % number)])
    assert bodies(next(spool.batches(lambda: NOW_US))) == [b"0", b"1", b"2"]
    spool.append([an_export(b"3")])
    # A process that was killed while it wrote a plan leaves half of one.
    (spool.folder / f"{spools.PLAN}.draft").write_bytes(b"[")
    again = Spool(spool.folder, spool.max_bytes).batches(lambda: NOW_US)
    repeated = next(again)
    assert (bodies(repeated), repeated.begun_us) == ([b"0", b"1", b"2"], NOW_US)
    # Killed once more, between the files that it removed.
    repeated.groups[0].path.unlink()
    assert bodies(next(spool.batches(lambda: NOW_US))) == [b"1", b"2"]
    spool.remove(repeated.groups)
    assert bodies(next(again)) == [b"3"]
