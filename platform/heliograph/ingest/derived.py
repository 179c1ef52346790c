"""Spans that are made of a request's log records: counted among the spans, so that what is stored was accepted."""

from heliograph.ingest import ledger
from heliograph.ingest.exports import Batch


def count_derived(batch: Batch) -> None:
    """Count what became of the spans of one request of log records, once they are stored or spooled."""
    whose = (batch.export.project_id, batch.export.key_id, batch.export.signal)
    ledger.count(*whose, "accepted", batch.decoded.accepted + batch.sampled)
    ledger.count(*whose, "sampled", batch.sampled)
    ledger.count(*whose, "redacted", batch.redacted)
    for reason, count in batch.decoded.rejected.items():
        ledger.count(*whose, "rejected", count, reason)
