"""Events for single scores: one for each verdict that is written below the bound of a rule that asks for each.

Read along the time at which verdicts were written, so that one on an old answer is told of too.
"""

from datetime import datetime, timedelta

from django.db import transaction

from heliograph.accounts.models import Project
from heliograph.alerts.messages import link
from heliograph.alerts.models import Rule
from heliograph.clickhouse import client
from heliograph.events.kinds import Kind
from heliograph.events.outbox import record
from heliograph.query.filters import EPOCH, to_ns

# What came below the bound in a moment of trouble fills nobody's mailbox: the rule itself tells of the share.
MOST_AT_ONCE = 100
# Inserts that began earlier have ended by then.
_SETTLE = timedelta(seconds=10)
# A new rule, or one after an outage, looks back so far.
_LOOK_BACK = timedelta(hours=1)
# An evaluator's verdict, or one that came with telemetry, on an answer older than this is news to nobody.
_OLDEST = timedelta(days=8)

# What people and programs say is found by when it was stored, however old the answer; the rest by its own time.
BELOW = """
SELECT trace_id, span_id, session_id, value, explanation, service, model, evaluator
FROM
(
    SELECT trace_id, span_id, session_id, value, explanation, service, model, evaluator, updated_at AS written
    FROM scores FINAL
    WHERE project_id = %(project_id)s AND name = %(name)s AND value < %(bound)s
        AND toUnixTimestamp64Micro(stored_at) = 0
        AND time >= fromUnixTimestamp64Nano(%(oldest_ns)s, 'UTC')
        AND updated_at > fromUnixTimestamp64Micro(%(after_us)s, 'UTC')
        AND updated_at <= fromUnixTimestamp64Micro(%(until_us)s, 'UTC')
    UNION ALL
    SELECT * EXCEPT (score_id, version)
    FROM
    (
        SELECT
            trace_id, span_id, session_id, value, explanation, service, model, evaluator, stored_at AS written,
            score_id, updated_at AS version
        FROM scores
        WHERE project_id = %(project_id)s AND name = %(name)s
            AND stored_at > fromUnixTimestamp64Micro(%(after_us)s, 'UTC')
            AND stored_at <= fromUnixTimestamp64Micro(%(until_us)s, 'UTC')
        ORDER BY version DESC
        LIMIT 1 BY trace_id, span_id, score_id
    )
    WHERE value < %(bound)s
)
ORDER BY written, trace_id, span_id
LIMIT %(limit)s
"""


def record_new(project: Project, now: datetime) -> int:
    """Record the events; return how many. Raises StoreError."""
    return sum(_record(rule, now) for rule in Rule.objects.filter(project=project, each_score=True, is_paused=False))


def _record(rule: Rule, now: datetime) -> int:
    until = (now - _SETTLE - EPOCH) // timedelta(microseconds=1)
    after = max(rule.scores_until_us, until - _LOOK_BACK // timedelta(microseconds=1))
    parameters = {
        "name": rule.score_name,
        "bound": rule.score_bound,
        "oldest_ns": to_ns(now - _OLDEST),
        "after_us": after,
        "until_us": until,
        "limit": MOST_AT_ONCE,
    }
    rows = client.query(rule.project_id, BELOW, parameters, tag="alerts.low_scores")
    with transaction.atomic():
        unmoved = Rule.objects.filter(pk=rule.pk, scores_until_us=rule.scores_until_us)
        if not unmoved.update(scores_until_us=until):
            return 0  # another worker was faster
        for row in rows:
            row["explanation"] = row["explanation"][:500]
            url = link("trace", rule.project.slug, row["trace_id"]) if row["trace_id"] else ""
            body = {"rule": rule.name, "score": rule.score_name, "bound": rule.score_bound, **row, "url": url}
            record(rule.project, Kind.SCORE_BELOW_BOUND, body)
    return len(rows)
