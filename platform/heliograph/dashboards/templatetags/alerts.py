"""How alerts are written in pages: a rule's terms in words, a value in its unit, a minute as a time."""

from datetime import UTC, datetime

from django import template
from django.utils.safestring import SafeString

from heliograph.alerts.models import Rule
from heliograph.alerts.transports.message import amount
from heliograph.dashboards.templatetags.units import missing, moment
from heliograph.query.measures import measure_of

register = template.Library()


@register.filter
def in_unit(value: float | None, rule: Rule) -> str | SafeString:
    """A value as messages say it."""
    if value is None:
        return missing("no value")
    return amount(value, {"unit": measure_of(rule.measure).unit, "kind": rule.kind, "measure": rule.measure})


@register.filter
def minute(at: int | None) -> SafeString:
    """Minutes since the epoch as a time in the reader's zone."""
    return moment(datetime.fromtimestamp(at * 60, UTC) if at else None)


@register.filter
def terms(rule: Rule) -> str:
    """What a rule watches and when it fires, in a line."""
    measure, given = measure_of(rule.measure), rule.condition
    what = measure.title + (f" of {rule.score_name}" if rule.score_name else "")
    if rule.score_bound is not None:
        what += f" ({rule.score_bound:g})"
    if rule.kind == "threshold":
        said = f"{given['side']} {in_unit(float(given['bound']), rule)}"
    elif rule.kind == "change":
        versus = {"yesterday": "yesterday", "last_week": "a week ago"}.get(given.get("versus", ""), "the window before")
        said = f"{'up' if given['side'] == 'above' else 'down'} by {given['by'] * 100:.0f} % against {versus}"
    elif rule.kind == "burn_rate":
        said = f"burns the budget of {given['objective']:.6g} {given.get('factor', 14.4):g} times too fast"
    else:
        said = f"odd for the hour of the week ({given.get('deviations', 4):g} deviations)"
    narrowed = "; ".join(f"{name} {' or '.join(values)}" for name, values in rule.only.items())
    narrowed = "; ".join(part for part in (narrowed, rule.filter) if part)
    return f"{what}, {said}, over {rule.window} min" + (f", of {narrowed}" if narrowed else "")
