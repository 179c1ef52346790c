"""Evaluators, the rules by which they judge what comes, and the spans that they could not judge."""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from evaluators.registry import EVALUATORS, names
from evaluators.signatures import argument_schema
from heliograph.accounts.doors import CONFIGURING, EDITING, READING
from heliograph.accounts.models import Project, User
from heliograph.api.ordered_rules import OfProject, answers, project_of
from heliograph.api.representation import serializer_of
from heliograph.evals.models import EvaluationRule, JudgeEndpoint, JudgeTemplate, SetAside
from heliograph.evals.online import report
from heliograph.evals.queue import wake_judges
from heliograph.query.paging import decode_cursor, encode_cursor

# A page of spans that were set aside.
MAX_ASIDE = 200


class EvaluatorOut(serializers.Serializer[Any]):
    """An evaluator: what it says, what a span must have, and the JSON schema of its arguments."""

    name = serializers.CharField()
    summary = serializers.CharField()
    needs = serializers.ListField(child=serializers.CharField())
    arguments = serializers.DictField()


class EvaluatorList(serializers.Serializer[Any]):
    """The evaluators by name."""

    items = EvaluatorOut(many=True)


class EvaluationRuleBody(serializers.ModelSerializer[EvaluationRule]):
    """A rule. `arguments` are checked against the evaluator's schema; `endpoint` and `template` are of an LLM judge.

    `since` is of a new rule: what was stored from then on is judged too; without it, what is stored from now on.
    """

    endpoint = OfProject(queryset=JudgeEndpoint.objects.all(), required=False, allow_null=True)
    template = OfProject(queryset=JudgeTemplate.objects.all(), required=False, allow_null=True)
    arguments = serializers.DictField(required=False)
    since = serializers.DateTimeField(required=False, write_only=True)

    class Meta:
        model = EvaluationRule
        fields = (
            *("id", "name", "enabled", "filter", "evaluator", "arguments", "endpoint", "template", "rate"),
            *("device_seconds_a_day", "usd_a_day", "wait", "since", "created_at", "updated_at"),
        )
        read_only_fields = ("id", "created_at", "updated_at")
        # The model says it in words of its own.
        validators: list[Any] = []


class EvaluationRuleList(serializers.Serializer[Any]):
    """The rules by name."""

    items = EvaluationRuleBody(many=True)


class EvaluationRuleDetail(serializers.Serializer[Any]):
    """A rule and how it stands."""

    rule = EvaluationRuleBody()
    standing = serializer_of(report.Standing)()


class AsideOut(serializers.ModelSerializer[SetAside]):
    """A span that the evaluator failed on."""

    class Meta:
        model = SetAside
        fields = ("id", "trace_id", "span_id", "reason", "tries", "retry_wanted", "created_at")


class AsideList(serializers.Serializer[Any]):
    """Spans that were set aside, the newest first."""

    items = AsideOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class RetryIn(serializers.Serializer[Any]):
    """Which set-aside spans shall be tried again; without ids, all."""

    ids = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False, max_length=1_000)


class Changed(serializers.Serializer[Any]):
    """How many were changed."""

    changed = serializers.IntegerField()


def checked(given: serializers.ModelSerializer[Any], row: Any) -> Any:
    """Return a row with what was asked for, not saved yet. Raises ValidationError, also for its model's faults."""
    given.is_valid(raise_exception=True)
    for name, value in given.validated_data.items():
        setattr(row, name, value)
    try:
        row.full_clean()
    except ModelError as error:
        raise ValidationError(error.message_dict) from error
    return row


def person_of(request: Request) -> User | None:
    """Return who asks; None for a program with a key."""
    return request.user if isinstance(request.user, User) else None


def rule_body(project: Project, rule: Any = None, **options: Any) -> EvaluationRuleBody:
    """Return the serializer of a project's rule, or rules."""
    return EvaluationRuleBody(rule, context={"project": project}, **options)


class EvaluatorsView(APIView):
    """What can judge."""

    needs = READING

    @extend_schema(operation_id="list_evaluators", responses=answers(EvaluatorList))
    def get(self, request: Request) -> Response:
        """List the evaluators with what they take."""
        items = [
            {
                "name": name,
                "summary": EVALUATORS[name].summary,
                "needs": EVALUATORS[name].needs,
                "arguments": argument_schema(name),
            }
            for name in names()
        ]
        return Response(EvaluatorList({"items": items}).data)


class EvaluationRulesView(APIView):
    """A project's rules. They use its devices and its money: it takes a person, or a key made to administer."""

    needs = CONFIGURING

    @extend_schema(operation_id="list_evaluation_rules", responses=answers(EvaluationRuleList))
    def get(self, request: Request) -> Response:
        """List the rules."""
        project = project_of(request)
        return Response({"items": rule_body(project, project.evaluation_rules.all(), many=True).data})

    @extend_schema(
        operation_id="add_evaluation_rule",
        request=EvaluationRuleBody,
        responses=answers(EvaluationRuleBody, 403, good=201),
    )
    def post(self, request: Request) -> Response:
        """Add a rule; it judges what is stored from now on, or since the time that is given."""
        project = project_of(request)
        given = rule_body(project, data=request.data)
        given.is_valid(raise_exception=True)
        since = given.validated_data.pop("since", None)
        rule: EvaluationRule = checked(given, EvaluationRule(project=project, created_by=person_of(request)))
        rule.begin(since)
        wake_judges()
        return Response(rule_body(project, rule).data, status=201)


class EvaluationRuleView(APIView):
    """One rule."""

    needs = CONFIGURING

    def _rule(self, request: Request, rule_id: int) -> EvaluationRule:
        return get_object_or_404(project_of(request).evaluation_rules, pk=rule_id)

    @extend_schema(operation_id="get_evaluation_rule", responses=answers(EvaluationRuleDetail, 404))
    def get(self, request: Request, rule_id: int) -> Response:
        """Return a rule, how far behind it is, and what it used up today."""
        rule = self._rule(request, rule_id)
        standing = serializer_of(report.Standing)(report.standing(rule)).data
        return Response({"rule": rule_body(rule.project, rule).data, "standing": standing})

    @extend_schema(
        operation_id="change_evaluation_rule",
        request=EvaluationRuleBody,
        responses=answers(EvaluationRuleBody, 403, 404),
    )
    def patch(self, request: Request, rule_id: int) -> Response:
        """Change a rule, or pause it; what is not named stays. What is judged stays judged."""
        rule = self._rule(request, rule_id)
        given = rule_body(rule.project, rule, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        if "since" in given.validated_data:
            raise ValidationError({"since": ["Only a new rule begins; schedule an evaluation of the period."]})
        checked(given, rule).save()
        return Response(rule_body(rule.project, rule).data)

    @extend_schema(operation_id="delete_evaluation_rule", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Remove a rule; its scores stay."""
        self._rule(request, rule_id).delete()
        return Response(status=204)


class EvaluationPreviewView(APIView):
    """What a rule would judge."""

    needs = EDITING

    @extend_schema(
        operation_id="preview_evaluation_rule",
        request=EvaluationRuleBody,
        responses=answers(serializer_of(report.RulePreview), 403),
    )
    def post(self, request: Request) -> Response:
        """Say which spans of the last day a rule would judge, and what that would cost; nothing is saved."""
        project = project_of(request)
        given = rule_body(project, data=request.data)
        given.is_valid(raise_exception=True)
        given.validated_data.pop("since", None)
        # A name that is taken is no fault of a preview.
        given.validated_data["name"] = "preview of a rule"
        rule = checked(given, EvaluationRule(project=project))
        return Response(serializer_of(report.RulePreview)(report.preview(rule)).data)


class SetAsideView(APIView):
    """Spans that a rule's evaluator failed on."""

    needs = CONFIGURING

    @extend_schema(
        operation_id="list_set_aside",
        parameters=[OpenApiParameter("cursor", str, description="`next_cursor` of the page before.")],
        responses=answers(AsideList, 404),
    )
    def get(self, request: Request, rule_id: int) -> Response:
        """List the spans that were set aside, the newest first."""
        rule = get_object_or_404(project_of(request).evaluation_rules, pk=rule_id)
        rows = rule.set_aside.order_by("-pk")
        if cursor := request.query_params.get("cursor"):
            rows = rows.filter(pk__lt=decode_cursor(cursor, int)[0])
        page = list(rows[: MAX_ASIDE + 1])
        more = encode_cursor(page[MAX_ASIDE - 1].pk) if len(page) > MAX_ASIDE else None
        return Response({"items": AsideOut(page[:MAX_ASIDE], many=True).data, "next_cursor": more})

    @extend_schema(operation_id="retry_set_aside", request=RetryIn, responses=answers(Changed, 403, 404))
    def post(self, request: Request, rule_id: int) -> Response:
        """Have set-aside spans tried again, each alone, at the rule's next turn."""
        rule = get_object_or_404(project_of(request).evaluation_rules, pk=rule_id)
        given = RetryIn(data=request.data)
        given.is_valid(raise_exception=True)
        rows = rule.set_aside.all()
        if "ids" in given.validated_data:
            rows = rows.filter(pk__in=given.validated_data["ids"])
        changed = rows.update(retry_wanted=True)
        wake_judges()
        return Response({"changed": changed})


class BacklogView(APIView):
    """What waits to be judged."""

    needs = CONFIGURING

    @extend_schema(operation_id="skip_backlog", request=None, responses=answers(Changed, 403, 404))
    def delete(self, request: Request, rule_id: int) -> Response:
        """Give up what waits; what comes from now on is judged."""
        rule = get_object_or_404(project_of(request).evaluation_rules, pk=rule_id)
        return Response({"changed": report.skip_backlog(rule)})
