"""Alert rules, where their alerts stand, channels, messages and silences.

A channel makes this server send requests and a rule says who is woken: so it takes a person, or a key made to
administer, to change them.
"""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import CONFIGURING
from heliograph.accounts.models import Project, User
from heliograph.alerts.editing import remove_rule, save_rule
from heliograph.alerts.history import AlertPreview, look_back
from heliograph.alerts.models import MAX_SILENCES, Alert, Channel, Rule, Silence, check_silence
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.representation import serializer_of
from heliograph.query.filters import from_ns
from heliograph.query.paging import MAX_PAGE, decode_cursor, encode_cursor


class PageParameters(serializers.Serializer[Any]):
    """One page of a list."""

    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)
    cursor = serializers.CharField(required=False, max_length=1_000, help_text="`next_cursor` of the page before.")


class RuleBody(serializers.ModelSerializer[Rule]):
    """An alert rule; docs/alerts.md names the measures and what each kind of condition takes. Times are minutes."""

    by = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=10)
    only = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(max_length=1_000)), required=False
    )
    condition = serializers.DictField(child=serializers.JSONField())
    channels = serializers.PrimaryKeyRelatedField(many=True, required=False, queryset=Channel.objects.none())

    class Meta:
        model = Rule
        fields = (
            *("id", "name", "description", "severity", "measure", "score_name", "score_bound", "window", "by", "only"),
            *("filter", "kind", "condition", "hold", "recover", "patience", "no_data", "channels", "notify", "repeat"),
            *("each_score", "is_paused", "last_error", "created_at", "updated_at"),
        )
        read_only_fields = ("id", "last_error", "created_at", "updated_at")
        validators: list[Any] = []  # a name is unique within its project, which the model's own check knows

    def __init__(self, *given: Any, project: Project | None = None, **options: Any) -> None:
        super().__init__(*given, **options)
        if project is not None:
            # Those of another project do not exist.
            known = Channel.objects.filter(project=project)
            self.fields["channels"] = serializers.PrimaryKeyRelatedField(many=True, required=False, queryset=known)


class AlertRuleList(serializers.Serializer[Any]):
    """Every rule of a project, by name."""

    items = RuleBody(many=True)


class AlertOut(serializers.ModelSerializer[Alert]):
    """Where one group of a rule stands. `since` is when it came to its state."""

    rule_name = serializers.CharField(source="rule.name")
    severity = serializers.CharField(source="rule.severity")
    labels = serializers.DictField(child=serializers.CharField())
    since = serializers.SerializerMethodField()

    class Meta:
        model = Alert
        fields = (
            *("id", "rule", "rule_name", "severity", "labels", "state", "since", "is_open", "opened_at", "value"),
            *("against", "reason", "told_at", "acknowledged_at"),
        )

    def get_since(self, alert: Alert) -> str:
        """Return minutes since the epoch as a time."""
        return from_ns(alert.since * 60 * 10**9).isoformat()


class AlertPage(serializers.Serializer[Any]):
    """Alerts that are or were anything but ok, the newest change first."""

    items = AlertOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class AlertParameters(PageParameters):
    """Which alerts."""

    state = serializers.ChoiceField(["ok", "pending", "firing", "resolved", "no_data"], required=False)
    rule = serializers.IntegerField(required=False)


class SilenceBody(serializers.ModelSerializer[Silence]):
    """When nobody is told; without a rule of every rule, without labels of every alert."""

    labels = serializers.DictField(child=serializers.CharField(max_length=1_000), required=False)
    rule = serializers.PrimaryKeyRelatedField(queryset=Rule.objects.none(), required=False, allow_null=True)

    class Meta:
        model = Silence
        fields = ("id", "comment", "rule", "labels", "starts_at", "ends_at", "is_weekly", "created_at")
        read_only_fields = ("id", "created_at")

    def __init__(self, *given: Any, project: Project | None = None, **options: Any) -> None:
        super().__init__(*given, **options)
        if project is not None:
            known = Rule.objects.filter(project=project)
            self.fields["rule"] = serializers.PrimaryKeyRelatedField(required=False, allow_null=True, queryset=known)


class SilenceList(serializers.Serializer[Any]):
    """Every silence of a project."""

    items = SilenceBody(many=True)


def _person(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def refused(error: ModelError) -> ValidationError:
    return ValidationError(error.message_dict)


def _save_rule(request: Request, rule: Rule, *, partial: bool) -> Rule:
    given = RuleBody(rule, data=request.data, partial=partial, project=rule.project)
    given.is_valid(raise_exception=True)
    channels = given.validated_data.pop("channels", None)
    for name, value in given.validated_data.items():
        setattr(rule, name, value)
    try:
        save_rule(rule, channels)
    except ModelError as error:
        raise refused(error) from error
    return rule


class PersonWrites(APIView):
    """Reads, and writes that configure."""

    needs = CONFIGURING


class RulesView(PersonWrites):
    """Alert rules."""

    @extend_schema(operation_id="list_alert_rules", responses=answers(AlertRuleList))
    def get(self, request: Request) -> Response:
        """List the rules."""
        rules = Rule.objects.filter(project=project_of(request)).prefetch_related("channels")
        return Response(AlertRuleList({"items": rules}).data)

    @extend_schema(operation_id="add_alert_rule", request=RuleBody, responses=answers(RuleBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add a rule; it is judged within a minute or so."""
        rule = Rule(project=project_of(request), created_by=_person(request))
        return Response(RuleBody(_save_rule(request, rule, partial=False)).data, status=201)


class RuleView(PersonWrites):
    """One alert rule."""

    @extend_schema(operation_id="get_alert_rule", responses=answers(RuleBody, 404))
    def get(self, request: Request, rule_id: int) -> Response:
        """Return a rule."""
        return Response(RuleBody(get_object_or_404(Rule, project=project_of(request), pk=rule_id)).data)

    @extend_schema(operation_id="change_alert_rule", request=RuleBody, responses=answers(RuleBody, 403, 404))
    def patch(self, request: Request, rule_id: int) -> Response:
        """Change or pause a rule; alerts that it had by other terms end."""
        rule = get_object_or_404(Rule, project=project_of(request), pk=rule_id)
        return Response(RuleBody(_save_rule(request, rule, partial=True)).data)

    @extend_schema(operation_id="remove_alert_rule", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Remove a rule with its history."""
        remove_rule(get_object_or_404(Rule, project=project_of(request), pk=rule_id))
        return Response(status=204)


class PreviewView(PersonWrites):
    """What a rule would have done."""

    @extend_schema(
        operation_id="preview_alert_rule", request=RuleBody, responses=answers(serializer_of(AlertPreview), 403)
    )
    def post(self, request: Request) -> Response:
        """Judge the last seven days by a rule; nothing is stored and nobody told."""
        project = project_of(request)
        given = RuleBody(data=request.data, project=project)
        given.is_valid(raise_exception=True)
        given.validated_data.pop("channels", None)
        rule = Rule(project=project, **given.validated_data)
        try:
            rule.terms  # noqa: B018  # raises for numbers that make no condition
        except ValueError as error:
            raise ValidationError({"condition": [str(error)]}) from error
        return Response(serializer_of(AlertPreview)(look_back(rule, timezone.now())).data)


class AlertsView(PersonWrites):
    """Alerts."""

    @extend_schema(operation_id="list_alerts", parameters=[AlertParameters], responses=answers(AlertPage))
    def get(self, request: Request) -> Response:
        """List where alerts stand."""
        given = read(AlertParameters, request).validated_data
        found = Alert.objects.filter(rule__project=project_of(request)).select_related("rule").order_by("-since", "-pk")
        found = found.filter(**{name: given[name] for name in ("state", "rule") if name in given})
        if "cursor" in given:
            since, pk = (int(part) for part in decode_cursor(given["cursor"], int, int))
            found = found.filter(since__lte=since).exclude(since=since, pk__gte=pk)
        items = list(found[: given["limit"] + 1])
        last = items[given["limit"] - 1] if len(items) > given["limit"] else None
        cursor = encode_cursor(last.since, last.pk) if last else None
        return Response(AlertPage({"items": items[: given["limit"]], "next_cursor": cursor}).data)


class AlertView(PersonWrites):
    """One alert."""

    @extend_schema(operation_id="get_alert", responses=answers(AlertOut, 404))
    def get(self, request: Request, alert_id: int) -> Response:
        """Return an alert."""
        return Response(AlertOut(get_object_or_404(Alert, rule__project=project_of(request), pk=alert_id)).data)

    @extend_schema(operation_id="acknowledge_alert", request=None, responses=answers(AlertOut, 403, 404))
    def post(self, request: Request, alert_id: int) -> Response:
        """Acknowledge an open alert: it is not told again while it lasts."""
        alert = get_object_or_404(Alert, rule__project=project_of(request), pk=alert_id)
        Alert.objects.filter(pk=alert.pk, is_open=True).update(
            acknowledged_at=timezone.now(), acknowledged_by=_person(request)
        )
        alert.refresh_from_db()
        return Response(AlertOut(alert).data)


class SilencesView(PersonWrites):
    """Silences and maintenance windows."""

    @extend_schema(operation_id="list_silences", responses=answers(SilenceList))
    def get(self, request: Request) -> Response:
        """List the silences, those that end last first."""
        return Response(SilenceList({"items": Silence.objects.filter(project=project_of(request))}).data)

    @extend_schema(operation_id="add_silence", request=SilenceBody, responses=answers(SilenceBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add a silence."""
        project = project_of(request)
        if Silence.objects.filter(project=project).count() >= MAX_SILENCES:
            raise ValidationError({"comment": [f"A project has at most {MAX_SILENCES} silences."]})
        given = SilenceBody(data=request.data, project=project)
        given.is_valid(raise_exception=True)
        silence = Silence(project=project, created_by=_person(request), **given.validated_data)
        try:
            check_silence(silence.starts_at, silence.ends_at, is_weekly=silence.is_weekly)
        except ModelError as error:
            raise refused(error) from error
        silence.save()
        return Response(SilenceBody(silence).data, status=201)


class SilenceView(PersonWrites):
    """One silence."""

    @extend_schema(operation_id="remove_silence", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, silence_id: int) -> Response:
        """End a silence by removing it."""
        get_object_or_404(Silence, project=project_of(request), pk=silence_id).delete()
        return Response(status=204)
