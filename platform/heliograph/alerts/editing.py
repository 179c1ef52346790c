"""Changing rules and channels: what both the pages and the API go through."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from heliograph.accounts.secrets import SecretLostError, encrypt
from heliograph.alerts import tell
from heliograph.alerts.channels import Kind
from heliograph.alerts.conditions import BurnRate, InvalidConditionError
from heliograph.alerts.deliver import config_of
from heliograph.alerts.models import MAX_CHANNELS, MAX_FILTERS, MAX_RULES, Alert, Channel, Rule, Transition
from heliograph.alerts.state import State
from heliograph.alerts.transports.field import InvalidFieldError, checked
from heliograph.alerts.transports.kinds import KINDS
from heliograph.alerts.transports.message import InvalidTemplateError, check_template
from heliograph.alerts.transports.webhook.fields import new_secret
from heliograph.events.kinds import Kind as EventKind
from heliograph.query.filters import InvalidFilterError
from heliograph.query.measures import measure_of

# What makes an alert another one: its state says nothing about a rule of other terms.
_TERMS = ("measure", "score_name", "score_bound", "window", "by", "only", "filter", "kind", "condition")
_LONGEST_MINUTES = 7 * 1_440


def check_rule(rule: Rule) -> None:
    """Raise ValidationError, by field, for a rule that cannot be evaluated."""
    try:
        measure, condition = measure_of(rule.measure), rule.terms
        if not isinstance(rule.by, list) or not isinstance(rule.only, dict):
            raise InvalidFilterError("by", "is a list of dimensions, and only has values by dimension")
        for window, _ in condition.needs(rule.window):
            rule.question(window)
    except InvalidFilterError as error:
        names = {"name": "score_name", "bound": "score_bound"}
        raise ValidationError({names.get(error.field, error.field): [error.message]}) from error
    except InvalidConditionError as error:
        raise ValidationError({"kind" if error.field == "kind" else "condition": [str(error)]}) from error
    if isinstance(condition, BurnRate) and not measure.is_share:
        told = "A budget is spent by a share of bad events: the error rate, a share of slow requests or of scores."
        raise ValidationError({"measure": [told]})
    _check_filter(rule)
    if rule.each_score and measure.key != "score_below":
        raise ValidationError({"each_score": ["Only the share of scores below a bound can tell of each score."]})
    for name in ("hold", "recover", "patience", "repeat"):
        if getattr(rule, name) > _LONGEST_MINUTES:
            raise ValidationError({name: [f"must be at most {_LONGEST_MINUTES} minutes"]})
    if Rule.objects.filter(project=rule.project, name=rule.name).exclude(pk=rule.pk).exists():
        raise ValidationError({"name": ["A rule of this name exists already."]})
    rule.full_clean(exclude=["by", "only", "condition"])


def _check_filter(rule: Rule) -> None:
    others = Rule.objects.filter(project=rule.project).exclude(pk=rule.pk).exclude(filter__in=["", rule.filter])
    if rule.filter and others.values("filter").distinct().count() >= MAX_FILTERS:
        raise ValidationError({"filter": [f"The rules of a project have at most {MAX_FILTERS} different filters."]})


def save_rule(rule: Rule, channels: Sequence[Channel] | None = None) -> None:
    """Save a rule; what it found by other terms ends. Raises ValidationError."""
    check_rule(rule)
    with transaction.atomic():
        before = Rule.objects.filter(pk=rule.pk).first() if rule.pk else None
        if before is None and Rule.objects.filter(project=rule.project).count() >= MAX_RULES:
            raise ValidationError({"name": [f"A project has at most {MAX_RULES} rules."]})
        rule.save()
        if channels is not None:
            rule.channels.set(channels)
        if before is not None and any(getattr(before, name) != getattr(rule, name) for name in _TERMS):
            _end(rule, "the rule was changed")
        elif before is not None and rule.is_paused and not before.is_paused:
            _end(rule, "the rule was paused")


def remove_rule(rule: Rule) -> None:
    """Tell who was told that it is over, then remove a rule with its history; its deliveries stay."""
    with transaction.atomic():
        _end(rule, "the rule was removed")
        rule.delete()


def _end(rule: Rule, why: str) -> None:
    now = timezone.now()
    minute = int(now.timestamp()) // 60
    standing = list(Alert.objects.filter(rule=rule).exclude(state=State.OK))
    Transition.objects.bulk_create(
        Transition(alert=alert, at=minute, state=State.RESOLVED if alert.is_open else State.OK, reason=why)
        for alert in standing
    )
    Alert.objects.filter(rule=rule).update(
        state=State.OK, since=minute, is_open=False, breach_since=None, clear_since=None, silent_since=None
    )
    # What it was judged by is over: it begins anew at the next settled window.
    Rule.objects.filter(pk=rule.pk).update(checked_until=0, last_error="")
    tell.tell(rule.project, now)


def save_channel(channel: Channel, given: Mapping[str, str]) -> str:
    """Save a channel with what was entered; return a new webhook's signing secret, which is not shown again, or ''.

    Secret fields that are left out stay as they are. Raises ValidationError.
    """
    if channel.pk is None and Channel.objects.filter(project=channel.project).count() >= MAX_CHANNELS:
        raise ValidationError({"name": [f"A project has at most {MAX_CHANNELS} channels."]})
    if channel.kind not in list(Kind):
        raise ValidationError({"kind": [f"must be one of {', '.join(Kind)}"]})
    fields = KINDS[Kind(channel.kind)].fields
    secret_names = {field.name for field in fields if field.is_secret}
    entered = {name: value for name, value in given.items() if value or name not in secret_names}
    issued = ""
    if channel.kind == Kind.WEBHOOK:
        # Made here, never entered: one that people can think of is one that others can guess.
        entered = {"url": entered.get("url", "")}
        issued = "" if channel.secret else new_secret()
    try:
        kept = {name: value for name, value in config_of(channel).items() if name in secret_names}
    except SecretLostError:
        kept = {}
    if issued:
        kept["signing_secret"] = issued
    try:
        values = checked(fields, kept | entered)
        for template in (channel.title_template, channel.text_template):
            check_template(template)
    except InvalidFieldError as error:
        raise ValidationError({error.field: [error.message]}) from error
    except InvalidTemplateError as error:
        raise ValidationError({"text_template": [str(error)]}) from error
    if Channel.objects.filter(project=channel.project, name=channel.name).exclude(pk=channel.pk).exists():
        raise ValidationError({"name": ["A channel of this name exists already."]})
    _check_events(channel.events)
    channel.settings = {name: value for name, value in values.items() if name not in secret_names}
    secrets = {name: value for name, value in values.items() if name in secret_names}
    channel.secret = encrypt(json.dumps(secrets)) if secrets else ""
    channel.full_clean(exclude=["settings", "events"])
    channel.save()
    return issued


def _check_events(events: Any) -> None:
    if not isinstance(events, list) or set(events) - set(EventKind):
        raise ValidationError({"events": [f"are some of {', '.join(EventKind)}"]})


def new_signing_secret(channel: Channel) -> str:
    """Give a webhook a new secret and return it; the one before goes on signing beside it until the next."""
    try:
        old = {"old_signing_secret": config_of(channel)["signing_secret"]}
    except (SecretLostError, KeyError):
        old = {}
    fresh = new_secret()
    channel.secret = encrypt(json.dumps({"signing_secret": fresh, **old}))
    channel.save(update_fields=["secret"])
    return fresh
