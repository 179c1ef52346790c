"""A project's redaction rules, one of them perhaps unsaved, on a pasted text or on a span that is stored."""

from dataclasses import asdict
from typing import Any

from collectors.otlp.columns import SPAN_DEFAULTS
from heliograph.query.spans import SpanDetail, get_span
from heliograph.rules.models import RedactionRule
from heliograph.rules.project import redactor_of
from heliograph.rules.redaction import Redactor
from heliograph.rules.trial import SpanTrial, try_span


def redactor_with(project_id: int, draft: RedactionRule | None) -> Redactor:
    """Return the redactor of the enabled rules, with a draft behind them or in the place of the rule that it changes.

    Raises UnusableRuleError.
    """
    rules = list(RedactionRule.objects.filter(project=project_id))
    if draft is not None:
        draft.enabled = True
        if any(rule.pk == draft.pk for rule in rules):
            rules = [draft if rule.pk == draft.pk else rule for rule in rules]
        else:
            rules.append(draft)
    return redactor_of(project_id, [rule for rule in rules if rule.enabled])


def try_stored(project_id: int, redactor: Redactor, trace_id: str, span_id: str) -> SpanTrial | None:
    """Return what the rules would change of a stored span; None where the project has none such. Raises StoreError.

    What rules blanked before it was stored is blanked already.
    """
    span = get_span(project_id, trace_id, span_id)
    return None if span is None else try_span(redactor, _row(span))


def _row(span: SpanDetail) -> dict[str, Any]:
    row = {name: value for name, value in asdict(span).items() if name in SPAN_DEFAULTS}
    return {
        **SPAN_DEFAULTS,
        **row,
        "span_id": span.span_id,
        "tags": list(span.tags),
        "attributes": dict(span.attributes),
        "resource": dict(span.resource),
        "events.attributes": [dict(event.attributes) for event in span.events],
        "links.attributes": [dict(link.attributes) for link in span.links],
    }
