"""Who is to be told now: from where alerts stand and what people were told, whatever happened in between.

The messages are written down in the transaction that marks them as told, and sent by `deliver`: none is lost to a
worker that is killed, and none is written twice.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, prefetch_related_objects

from heliograph.accounts.models import Project
from heliograph.alerts import messages
from heliograph.alerts.channels import Kind
from heliograph.alerts.models import Alert, Channel, Delivery, Rule, Silence
from heliograph.events.models import Event

# What runs an incident for each alert cannot take several in one message.
ONE_EACH = frozenset({Kind.PAGERDUTY, Kind.OPSGENIE})
# So many events at a time: a transaction that holds up no other for long.
EVENTS_AT_ONCE = 200


def tell(project: Project, now: datetime) -> int:
    """Write down the messages that the project's alerts call for; return how many."""
    with transaction.atomic():
        alerts = _to_tell(project)
        silences = [silence for silence in Silence.objects.filter(project=project) if silence.is_active(now)]
        firing: defaultdict[tuple[int, bool], list[Alert]] = defaultdict(list)
        ended: defaultdict[int, list[Alert]] = defaultdict(list)
        rules: dict[int, Rule] = {}
        for alert in alerts:
            rules[alert.rule_id] = alert.rule
            if not alert.is_open:
                ended[alert.rule_id].append(alert)
            elif _is_due(alert, now) and not any(silence.covers(alert, now) for silence in silences):
                firing[alert.rule_id, alert.is_told].append(alert)
        prefetch_related_objects([rules[rule] for rule in {*(rule for rule, _ in firing), *ended}], "channels")
        written: list[Delivery] = []
        for (rule, is_told), group in firing.items():
            written += _written(rules[rule], messages.FIRING, group, now, is_repeat=is_told)
        for rule, group in ended.items():
            written += _written(rules[rule], messages.RESOLVED, group, now)
        Delivery.objects.bulk_create(written, batch_size=500)
        told = [alert.pk for group in firing.values() for alert in group]
        Alert.objects.filter(pk__in=told).update(is_told=True, told_at=now)
        Alert.objects.filter(pk__in=[alert.pk for group in ended.values() for alert in group]).update(is_told=False)
    return len(written)


def _to_tell(project: Project) -> list[Alert]:
    waiting = Q(is_open=True, rule__is_paused=False) | Q(is_open=False, is_told=True)
    found = Alert.objects.filter(waiting, rule__project=project).select_related("rule__project")
    return list(found.select_for_update(of=("self",)).order_by("pk"))


def _is_due(alert: Alert, now: datetime) -> bool:
    if not alert.is_told or alert.told_at is None:
        return True
    every = timedelta(minutes=alert.rule.repeat)
    return bool(every) and alert.acknowledged_at is None and now - alert.told_at >= every


def _written(
    rule: Rule, kind: str, alerts: Sequence[Alert], now: datetime, *, is_repeat: bool = False
) -> Iterator[Delivery]:
    for channel in rule.channels.all():
        if channel.is_paused:
            continue
        together = rule.notify == Rule.Notify.TOGETHER and channel.kind not in ONE_EACH
        for group in [alerts] if together else [[alert] for alert in alerts]:
            payload = messages.of_alerts(kind, rule, group, now, is_repeat=is_repeat)
            topic = f"rule:{rule.pk}" if together else f"alert:{rule.pk}:{group[0].key[:32]}"
            yield Delivery.of(channel, payload, now, topic=topic, rule=rule)


def take_events(project: Project, now: datetime) -> int:
    """Write down the messages of events that nobody has taken yet; return how many."""
    written = 0
    with transaction.atomic():
        channels = [each for each in Channel.objects.filter(project=project, is_paused=False) if each.events]
        fresh = Event.objects.select_for_update().filter(project=project, taken_at=None).order_by("created_at")
        events = list(fresh.select_related(None)[:EVENTS_AT_ONCE])
        for event in events:
            event.project = project
            for channel in channels:
                if event.kind in channel.events:
                    Delivery.to(channel, messages.of_event(event), now, topic=f"event:{event.kind}")
                    written += 1
        Event.objects.filter(pk__in=[event.pk for event in events]).update(taken_at=now)
    return written
