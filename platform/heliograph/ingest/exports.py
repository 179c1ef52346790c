"""One export request as it came, and as it is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import cast

from django.conf import settings
from django.db import Error as DatabaseError

from collectors.otlp import logs, traces
from collectors.otlp.errors import Malformed
from collectors.otlp.limits import Limits
from collectors.otlp.resources import environment_of
from collectors.semconv.evaluations import SentScore
from heliograph.blobs.store import gone_on
from heliograph.conventions.mapping import BUILT_IN, Mappings, ProjectMapping
from heliograph.ingest.bodies import decompress
from heliograph.ingest.longtexts import NONE as NO_TEXTS
from heliograph.ingest.longtexts import LongTexts, split
from heliograph.ingest.refusals import Busy, MalformedBody
from heliograph.ingest.rules import apply_rules, rules_in_force
from heliograph.ingest.sent_scores import scores_in
from heliograph.ingest.signals import LIMITS, SIGNALS, ContentType, Decoded
from heliograph.rules.project import NO_RULES, ProjectRules

# One for all threads that decode, the replayer's too: what was spooled is decoded by the rules of its replay.
MAPPINGS = Mappings()


@dataclass(frozen=True, slots=True)
class Export:
    """One authenticated request: everything that decoding needs, now or when it is replayed from disk."""

    signal: str
    project_id: int
    retention_days: int
    content_type: str
    content_encoding: str
    # Nanoseconds since the epoch; decoding judges start times by it.
    received_ns: int
    body: bytes
    # Of the API key, 0 without one.
    key_id: int = 0
    # Of an export that was acknowledged and spooled: how many items were accepted; else 0.
    items: int = 0
    # Heliograph's own telemetry, of which it makes none.
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """An export and its columns."""

    export: Export
    decoded: Decoded
    # Of the body after decompression.
    size: int
    # What the rows refer to; stored before them.
    texts: LongTexts = NO_TEXTS
    # By SHA-256; safe before the rows are.
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    # The blob store is away: the request has to wait in the spool.
    lacks_blobs: bool = False
    # Items that a head sampling rule left out, and those of which a redaction rule blanked something.
    sampled: int = 0
    redacted: int = 0
    # What it carries of scores; stored after the rows.
    scores: tuple[SentScore, ...] = ()
    # Spans of what coding agents said in the export's log records.
    derived: "Batch | None" = None
    # For how long each row is kept, where rules say it; and the longest, that of what the rows share.
    row_days: list[int] | None = None
    longest_days: int = 0

    def __post_init__(self) -> None:
        """Without rules everything is kept for as long as the project says."""
        object.__setattr__(self, "longest_days", self.longest_days or self.export.retention_days)

    @property
    def blobs_until(self) -> str:
        """The day until which the request's blobs are kept."""
        return gone_on(self.export.received_ns, self.longest_days).isoformat()

    @property
    def retention_days(self) -> list[int]:
        """The days that each row is kept."""
        return self.row_days or [self.export.retention_days] * self.decoded.accepted


def decode_by_rules(export: Export) -> Batch:
    """As `decode`, by the rules that are in force in the export's project.

    Raises Busy too, where these cannot be read.
    """
    rules = rules_in_force(export.project_id)
    if export.signal != "traces":
        batch = decode(export, rules=rules)
        spans = batch.decoded.spans if isinstance(batch.decoded, logs.DecodedLogs) else b""
        return replace(batch, derived=decode_by_rules(_spans_of(export, spans))) if spans else batch
    try:
        mapping = MAPPINGS.of(export.project_id)
    except DatabaseError as error:
        raise Busy("The project's mapping rules cannot be read: the metadata database does not answer.") from error
    return decode(export, mapping, rules)


def _spans_of(export: Export, spans: bytes) -> Export:
    """The spans that log records make, as an export of their own."""
    return replace(export, signal="traces", content_type="protobuf", content_encoding="", body=spans, items=0)


def decode(export: Export, mapping: ProjectMapping = BUILT_IN, rules: ProjectRules = NO_RULES) -> Batch:
    """Decompress and decode an export.

    Raises a Refusal: UnsupportedEncoding, MalformedBody or TooLarge.
    """
    body = decompress(export.body, export.content_encoding, settings.MAX_DECOMPRESSED_BYTES)
    longest = rules.retention.longest(export.signal, export.retention_days)
    try:
        decoded = _decode(replace(export, retention_days=longest), body, mapping)
    except Malformed as error:
        raise MalformedBody(f"Malformed {export.signal} request: {error}.") from error
    # Before anything is taken out of the rows: what a rule blanks must not be kept elsewhere.
    decoded, sampled, redacted = apply_rules(decoded, rules, mapping.index, export.project_id)
    scores = scores_in(decoded, body)
    batch = Batch(
        export,
        decoded,
        len(body),
        sampled=sampled,
        redacted=redacted,
        scores=scores,
        row_days=_row_days(export, decoded, rules),
        longest_days=longest,
    )
    if not isinstance(decoded, traces.DecodedSpans):
        return batch
    # By which rules the fields were filled, so that it can be shown, and told from spans of an older revision.
    decoded.columns["mapping_revision"] = [mapping.revision] * decoded.accepted
    # Last of all that touches the texts: from here on they are references.
    texts = split(decoded.columns, decoded.long_rows, export.project_id, longest)
    return replace(batch, texts=texts, blobs=decoded.blobs)


def _row_days(export: Export, decoded: Decoded, rules: ProjectRules) -> list[int] | None:
    """Return for how long each row is kept, None where that is the same for all: as long as the project says."""
    if export.signal not in rules.retention.rules or not decoded.accepted:
        return None
    columns = decoded.columns
    environments = columns["environment"] if "environment" in columns else map(environment_of, columns["resource"])
    return rules.retention.of_rows(export.signal, list(environments), export.retention_days)


@cache
def _limits(retention_days: int) -> Limits:
    """Nothing is taken that the store would remove at once: the sender shall hear of it."""
    return replace(LIMITS, max_age=min(LIMITS.max_age, timedelta(days=retention_days)))


def _decode(export: Export, body: bytes, mapping: ProjectMapping) -> Decoded:
    content_type = cast(ContentType, export.content_type)
    limits = _limits(export.retention_days)
    if export.signal != "traces":
        return SIGNALS[export.signal].decode(body, content_type=content_type, limits=limits, now_ns=export.received_ns)
    until = gone_on(export.received_ns, export.retention_days).isoformat()
    return traces.decode(
        body,
        content_type=content_type,
        limits=limits,
        now_ns=export.received_ns,
        blobs_until=until,
        index=mapping.index,
        price_overrides=mapping.prices or None,
    )
