"""A body that was malformed is stored once the decoder reads it, by the replayer and exactly once."""

import dataclasses
import time
from collections import Counter
from pathlib import Path

import pytest

from heliograph.clickhouse import client
from heliograph.ingest import ledger
from heliograph.ingest.dead_letters import DeadLetters, NoLetterError
from heliograph.ingest.exports import Export
from heliograph.ingest.gate import StoreGate
from heliograph.ingest.refusals import MalformedBody
from heliograph.ingest.replay import Replayer
from heliograph.ingest.signals import SIGNALS
from heliograph.ingest.spool import Spool
from tests.ingest.senders import metrics_request
from tests.ingest.stack import eventually

JUNK = b"\xff\xff"


@pytest.mark.django_db
@pytest.mark.usefixtures("store")
def test_a_malformed_letter_is_stored_once_the_decoder_is_mended(
    project_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool", 10**6)
    letters = DeadLetters(spool.folder)
    body = JUNK + metrics_request().SerializeToString()
    export = Export("metrics", project_id, 90, "protobuf", "", time.time_ns(), body, key_id=5)
    letters.keep(export, "malformed", "it begins with junk")
    [letter] = letters.all_of(project_id)
    replayer = Replayer(spool, StoreGate())
    try:
        with pytest.raises(MalformedBody):
            letters.replay(project_id, letter.id)
        assert letters.all_of(project_id) == [letter]
        decode = SIGNALS["metrics"].decode
        mended = dataclasses.replace(
            SIGNALS["metrics"], decode=lambda body, **options: decode(body.removeprefix(JUNK), **options)
        )
        monkeypatch.setitem(SIGNALS, "metrics", mended)
        assert letters.replay(project_id, letter.id) == 1
        with pytest.raises(NoLetterError):
            letters.replay(project_id, letter.id)
        eventually(lambda: not spool.files())
    finally:
        replayer.stop()
    sql = "SELECT count() AS n FROM metric_points WHERE project_id = %(project_id)s"
    assert client.query(project_id, sql, tag="test") == [{"n": 1}]
    assert letters.all_of(project_id) == []
    counted: Counter[str] = Counter()
    for (project, key, _, _, what, _), n in ledger.pending().items():
        if (project, key) == (project_id, 5):
            counted[what] += n
    assert counted == {"accepted": 1, "spooled": 1, "replayed": 1, "stored": 1}
