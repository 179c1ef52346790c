"""Every kind of rule, against traffic sent through OTLP, heard by a receiver that checks each signature."""

import random
import secrets

import pytest
from django.utils import timezone
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from heliograph.accounts.models import Project
from heliograph.alerts import low_scores, tell
from heliograph.alerts.deliver import deliver_due
from heliograph.alerts.evaluate import evaluate
from heliograph.alerts.models import Alert, Channel, Delivery, Rule, Silence, Transition
from heliograph.events.outbox import record
from heliograph.gates.drift import schedule
from heliograph.gates.models import Look, Monitor
from heliograph.gates.tasks import work_off
from tests.alerts.conftest import Burst, Receiver, World, rule
from tests.collectors.build import pairs, request, span
from tests.query.rows import store_rows

FIRING, RESOLVED = "alert.firing", "alert.resolved"
WEEK = 10_080


def test_a_threshold_fires_after_its_time_and_ends(world: World, channel: Channel, receiver: Receiver) -> None:
    it = rule(channel, "threshold", {"side": "above", "bound": 1.0}, window=1, hold=2, recover=2, by=["service"])
    slow = range(2, 6)
    world.send(*(Burst(minute, service="checkout", seconds=3.0 if minute in slow else 0.2) for minute in range(10)))
    world.send(*(Burst(minute, service="search", seconds=0.2) for minute in range(10)))
    # A window that ends at 3 holds minute 2; two minutes later it fires, and two after the last slow one it has ended.
    assert world.pass_minutes(1, 10) == [(5, 1), (9, 1)]
    assert receiver.told == [(FIRING, [{"service": "checkout"}]), (RESOLVED, [{"service": "checkout"}])]
    [alert] = Alert.objects.filter(rule=it)
    moves = Transition.objects.filter(alert=alert).order_by("at").values_list("state", flat=True)
    assert list(moves) == ["pending", "firing", "resolved"]
    first = next(iter(receiver.messages.values()))["data"]
    assert first["rule"]["condition"] == {"side": "above", "bound": 1.0}
    assert first["alerts"][0]["value"] == pytest.approx(3.0, rel=0.05)
    assert f"/p/{world.project.slug}/alerts/" in first["alerts"][0]["url"]


def test_a_change_against_the_window_before_fires_and_ends(world: World, channel: Channel, receiver: Receiver) -> None:
    rule(channel, "change", {"side": "above", "by": 1.0}, measure="requests", window=2)
    world.send(*(Burst(minute, spans=40 if minute >= 4 else 10) for minute in range(8)))
    world.pass_minutes(4, 8)
    assert receiver.told == [(FIRING, [{}]), (RESOLVED, [{}])]


def test_a_burnt_budget_fires_while_it_goes_on(world: World, channel: Channel, receiver: Receiver) -> None:
    condition = {"objective": 0.99, "factor": 10.0, "short": 2, "long": 10}
    rule(channel, "burn_rate", condition, measure="error_rate", window=2)
    world.send(*(Burst(minute, errors=9 if 6 <= minute < 9 else 0) for minute in range(14)))
    told = world.pass_minutes(5, 14)
    # One bad minute of seven makes 12.9 times the budget; two good ones end it, whatever the long window holds.
    assert told == [(7, 1), (11, 1)]
    assert [kind for kind, _ in receiver.told] == [FIRING, RESOLVED]


def test_an_anomaly_against_the_same_hour_of_weeks_before(world: World, channel: Channel, receiver: Receiver) -> None:
    rule(channel, "anomaly", {"side": "both", "deviations": 4.0, "weeks": 3}, measure="requests", window=5)
    for week in (1, 2, 3):
        world.send(*(Burst(minute - week * WEEK, spans=20 + week) for minute in range(-40, 50, 5)))
    world.send(*(Burst(minute, spans=60 if minute == 5 else 21) for minute in range(-10, 20, 5)))
    told = world.pass_minutes(1, 20)
    assert [minute for minute, _ in told] == [10, 15]
    assert [kind for kind, _ in receiver.told] == [FIRING, RESOLVED]


def test_a_service_that_falls_silent_is_missed(world: World, channel: Channel, receiver: Receiver) -> None:
    rule(channel, "threshold", {"side": "above", "bound": 3.0}, measure="silence", window=1, by=["service"])
    world.send(*(Burst(minute, service="checkout") for minute in (0, 1, 2, 8)))
    world.send(*(Burst(minute, service="search") for minute in range(10)))
    assert world.pass_minutes(1, 10) == [(7, 1), (9, 1)]
    assert receiver.told == [(FIRING, [{"service": "checkout"}]), (RESOLVED, [{"service": "checkout"}])]


GPU = {"service.name": "gpu-agent", "host.name": "node-1", "hw.id": "GPU-1", "hw.type": "gpu"}
ENGINE = {"service.name": "vllm", "service.instance.id": "vllm-0", "host.name": "node-1"}
# Minutes that are bad, of those that are sent.
BAD, SENT = range(3, 5), range(8)


def calls(world: World) -> ExportTraceServiceRequest:
    """A model call each few seconds with its tokens, its time to first token and a judge's verdict."""
    made = []
    for minute in SENT:
        for number in range(4):
            begun = int(world.at(minute + 0.1 * number).timestamp() * 1e9)
            bad = minute in BAD
            call = {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.provider.name": "openai",
                "gen_ai.usage.input_tokens": 1_000_000 if bad else 10,
                "gen_ai.usage.output_tokens": 5,
                "gen_ai.latency.time_to_first_token": 4.0 if bad else 0.2,
            }
            verdict = {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.1 if bad else 0.9}
            made.append(
                span(
                    call,
                    trace_id=secrets.token_bytes(16),
                    events=[(begun + 5, "gen_ai.evaluation.result", verdict)],
                    start_time_unix_nano=begun,
                    end_time_unix_nano=begun + (9 if bad else 5) * 10**9,
                )
            )
    return request(*made, resource={"service.name": "shop"})


def readings(world: World) -> ExportMetricsServiceRequest:
    """What a GPU's agent and an engine say each ten seconds."""
    export = ExportMetricsServiceRequest()
    of_gpu, of_engine = export.resource_metrics.add(), export.resource_metrics.add()
    of_gpu.resource.attributes.extend(pairs(GPU))
    of_engine.resource.attributes.extend(pairs(ENGINE))
    on_gpu, on_engine = of_gpu.scope_metrics.add(), of_engine.scope_metrics.add()
    heat = on_gpu.metrics.add(name="hw.temperature", unit="Cel").gauge
    held = on_gpu.metrics.add(name="gpu.throttle.time", unit="s").sum
    held.is_monotonic, held.aggregation_temporality = True, 2
    cache = on_engine.metrics.add(name="vllm:kv_cache_usage_perc", unit="1").gauge
    queue = on_engine.metrics.add(name="vllm:num_requests_waiting", unit="1").gauge
    rise = 0.0
    for minute in SENT:
        for second in range(0, 60, 10):
            bad = minute in BAD
            rise += 9.0 if bad else 0.0
            given = [
                (heat, 96.0 if bad else 60.0, {"hw.sensor_location": "gpu"}),
                (held, rise, {"gpu.throttle.reason": "hw_thermal_slowdown"}),
                (cache, 0.99 if bad else 0.3, {"model_name": "llama"}),
                (queue, 40.0 if bad else 0.0, {"model_name": "llama"}),
            ]
            for series, value, attributes in given:
                at = int((world.at(minute).timestamp() + second) * 1e9)
                point = series.data_points.add(time_unix_nano=at, start_time_unix_nano=1, as_double=value)
                point.attributes.extend(pairs(attributes))
    return export


def fallen_off_the_bus(world: World) -> ExportLogsServiceRequest:
    """The agent's record of an XID in the first bad minute."""
    export = ExportLogsServiceRequest()
    sent = export.resource_logs.add()
    sent.resource.attributes.extend(pairs(GPU))
    record = sent.scope_logs.add().log_records.add(event_name="gpu.xid")
    record.time_unix_nano = int(world.at(BAD[0] + 0.5).timestamp() * 1e9)
    record.attributes.extend(pairs({"gpu.xid": 79}))
    return export


def test_scores_costs_gpus_and_engines_fire_and_end(world: World, channel: Channel, receiver: Receiver) -> None:
    gpu, engine = {"host": "node-1", "gpu": "GPU-1"}, {"instance": "vllm-0"}
    above: dict[str, tuple[float, dict[str, str]]] = {
        "ttft_p95": (1.0, {"model": "gpt-4o"}),
        "cost": (1.0, {"service": "shop"}),
        "gpu_temperature": (90.0, gpu),
        "gpu_throttled": (0.5, gpu),
        "gpu_xid": (0.5, gpu),
        "kv_usage": (0.95, engine),
        "waiting": (10.0, engine),
        "score_below": (0.5, {"service": "shop"}),
    }
    for measure, (bound, labels) in above.items():
        score = {"score_name": "relevance", "score_bound": 0.5} if measure == "score_below" else {}
        condition = {"side": "above", "bound": bound}
        rule(channel, "threshold", condition, name=measure, measure=measure, window=1, by=[*labels], **score)
    rule(
        channel, "threshold", {"side": "below", "bound": 0.5}, name="score_mean", measure="score_mean", window=1,
        score_name="relevance",
    )  # fmt: skip
    rule(
        channel, "burn_rate", {"objective": 0.9, "factor": 4.0, "short": 1, "long": 2}, name="slow_rate",
        measure="slow_rate", window=1, score_bound=6.0, filter="model:gpt-4*",
    )  # fmt: skip
    world.post("traces", calls(world))
    world.post("metrics", readings(world))
    world.post("logs", fallen_off_the_bus(world))
    world.pass_minutes(2, 13)  # scores are judged five minutes later than the rest
    told: dict[str, list[tuple[str, list[dict[str, str]]]]] = {}
    for message in receiver.messages.values():
        data = message["data"]
        told.setdefault(data["rule"]["name"], []).append((message["type"], [each["labels"] for each in data["alerts"]]))
    expected = {measure: labels for measure, (_, labels) in above.items()} | {"score_mean": {}, "slow_rate": {}}
    assert told == {name: [(FIRING, [labels]), (RESOLVED, [labels])] for name, labels in expected.items()}


def timed_calls(world: World, first: int, seconds: float) -> ExportTraceServiceRequest:
    """Model calls of an hour that take about so long."""
    dice = random.Random(first)
    made = []
    for number in range(120):
        begun = int(world.at(first + number / 2).timestamp() * 1e9)
        took = int(dice.lognormvariate(0, 0.3) * seconds * 1e9)
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
        times = {"start_time_unix_nano": begun, "end_time_unix_nano": begun + took}
        made.append(span(call, trace_id=secrets.token_bytes(16), **times))
    return request(*made, resource={"service.name": "shop"})


def test_drift_fires_where_a_monitor_finds_it_and_ends_with_a_look_that_finds_none(
    world: World, channel: Channel, receiver: Receiver
) -> None:
    for first, seconds in ((-60, 1.0), (0, 4.0), (60, 4.0)):
        world.post("traces", timed_calls(world, first, seconds))
    monitor = Monitor.objects.create(
        project=world.project, name="Hourly", signals=["latency"], reference_hours=1, current_hours=1, every_hours=1
    )
    rule(channel, "threshold", {"side": "above", "bound": 0.5}, measure="drift", window=1, by=["monitor", "signal"])
    told = []
    for hour in (60, 120):  # its hour against the one before: slower, then as slow
        look = schedule.queue_look(monitor, world.at(hour))
        assert look is not None
        work_off()
        look.refresh_from_db()
        assert look.status == Look.Status.DONE, look.error
        Look.objects.filter(pk=look.pk).update(finished_at=world.at(hour + 1.5))
        told += world.pass_minutes(hour + 1, hour + 4)
    assert told == [(62, 1), (122, 1)]
    where = [{"monitor": "Hourly", "signal": "latency"}]
    assert receiver.told == [(FIRING, where), (RESOLVED, where)]


def test_late_spans_are_judged_and_an_outage_of_ours_is_caught_up(
    world: World, channel: Channel, receiver: Receiver
) -> None:
    rule(channel, "threshold", {"side": "above", "bound": 5}, measure="errors", window=2)
    world.send(Burst(0, errors=1))
    world.pass_minutes(1, 1)
    world.send(Burst(1.4, errors=9))  # it comes after minute 2's end, before its window is judged
    world.send(Burst(30))
    # Nothing ran for half an hour: each minute of it is judged now, and one message tells of what ended meanwhile.
    assert world.pass_minutes(31, 31) == []
    [alert] = Alert.objects.all()
    states = Transition.objects.filter(alert=alert).order_by("at", "pk").values_list("state", flat=True)
    assert list(states) == ["firing", "resolved"]
    assert receiver.messages == {}


def test_two_workers_judge_a_minute_once(world: World, channel: Channel) -> None:
    rule(channel, "threshold", {"side": "above", "bound": 5}, measure="errors", window=1)
    world.send(Burst(0, errors=9))
    now = world.at(2)
    for _ in range(2):
        evaluate(world.project, now)
        tell.tell(world.project, now)
    assert Transition.objects.count() == Delivery.objects.count() == 1


def test_who_is_told_when(world: World, channel: Channel, receiver: Receiver) -> None:
    """Grouping, a silence, a repeat, an acknowledgment."""
    it = rule(channel, "threshold", {"side": "above", "bound": 5}, measure="errors", window=1, by=["service"], repeat=3)
    silence = Silence.objects.create(
        project=world.project,
        labels={"service": "c"},
        comment="c is moved",
        starts_at=world.at(-60),
        ends_at=world.at(7),
    )
    world.send(*(Burst(minute, service=service, errors=9) for minute in range(14) for service in "abc"))
    told = dict(world.pass_minutes(1, 5))
    # a and b in one message, again after three minutes; c is silenced.
    assert told == {1: 1, 4: 1}
    assert receiver.told[0] == (FIRING, [{"service": "a"}, {"service": "b"}])
    assert [message["data"]["is_repeat"] for message in receiver.messages.values()] == [False, True]
    assert silence.covers(Alert.objects.get(labels={"service": "c"}), world.at(5))
    # The silence ends, and c still fires; a and b are somebody's now, and not repeated.
    Alert.objects.exclude(labels={"service": "c"}).update(acknowledged_at=timezone.now())
    assert dict(world.pass_minutes(6, 8)) == {6: 1}
    assert receiver.told[-1] == (FIRING, [{"service": "c"}])
    # A rule that is paused asks nobody for attention any more.
    Rule.objects.filter(pk=it.pk).update(is_paused=True)
    assert world.pass_minutes(9, 12) == []


def test_events_and_single_low_scores_reach_the_channels_that_ask(
    world: World, channel: Channel, receiver: Receiver
) -> None:
    channel.events = ["gate.failed", "score.below_bound"]
    channel.save()
    rule(channel, "threshold", {"side": "above", "bound": 0.5}, measure="score_below", score_name="groundedness",
         score_bound=0.3, each_score=True)  # fmt: skip
    now = timezone.now()
    score = {"score_id": "j", "trace_id": "ab" * 16, "span_id": "", "session_id": "", "dataset_item_id": "",
             "time": int(world.at(0).timestamp() * 1e9), "name": "groundedness", "value": 0.1, "label": "",
             "explanation": "not said", "details": "", "source": "evaluator", "evaluator": "judge",
             "evaluator_revision": "", "evaluator_arguments": "", "author": "", "service": "shop", "release": "",
             "model": "", "retention_days": 90}  # fmt: skip
    store_rows(world.project.pk, "scores", [score, score | {"value": 0.9, "trace_id": "cd" * 16}])
    record(world.project, "gate.failed", {"gate": "release", "url": "https://example.org/gate"})
    record(world.project, "export.ready", {"export": 1})
    later = now + (world.at(1) - world.at(0))
    assert [low_scores.record_new(world.project, later) for _ in range(2)] == [1, 0]
    tell.take_events(world.project, later)
    deliver_due(lambda: later)
    events = {message["type"]: message["data"]["event"] for message in receiver.messages.values()}
    assert set(events) == {"gate.failed", "score.below_bound"}
    assert events["score.below_bound"]["trace_id"] == "ab" * 16
    assert events["gate.failed"] == {"gate": "release", "url": "https://example.org/gate"}


def test_another_project_s_traffic_rules_and_channels_stay_apart(world: World, channel: Channel) -> None:
    other = Project.create(world.project.organization, "Other")
    mine = rule(channel, "threshold", {"side": "above", "bound": 5}, measure="errors", window=1)
    theirs = Rule.objects.create(
        project=other, name="theirs", measure="errors", window=1, kind="threshold", condition=mine.condition, hold=0
    )
    world.send(Burst(0, errors=9))
    for project in (other, world.project):
        evaluate(project, world.at(2))
        tell.tell(project, world.at(2))
    assert [alert.rule for alert in Alert.objects.filter(is_open=True)] == [mine]
    assert not theirs.alerts.filter(is_open=True).exists()
    assert [delivery.project for delivery in Delivery.objects.all()] == [world.project]
