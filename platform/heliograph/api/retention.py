"""For how long a project's telemetry is kept: in days, by signal and environment."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import LIMITING
from heliograph.accounts.models import Project
from heliograph.api.ordered_rules import answers, checked, project_of
from heliograph.rules.models import RetentionRule
from heliograph.rules.project import forget


class RetentionRuleBody(serializers.ModelSerializer[RetentionRule]):
    """Days of one signal, in one environment or, where that is '', in each."""

    class Meta:
        model = RetentionRule
        fields = ("id", "signal", "environment", "days")
        read_only_fields = ("id",)
        # Said by the model, with what to do.
        validators = ()


class RetentionOut(serializers.Serializer[Any]):
    """The project's own days, 0 for the installation's; what holds without a rule; and the rules."""

    retention_days = serializers.IntegerField(min_value=0, max_value=RetentionRule.MAX_DAYS)
    effective_days = serializers.IntegerField(read_only=True)
    items = RetentionRuleBody(many=True, read_only=True)


def _answer(project: Project) -> Response:
    rules = RetentionRule.objects.filter(project=project)
    days = {"retention_days": project.retention_days, "effective_days": project.effective_retention_days}
    return Response(days | {"items": RetentionRuleBody(rules, many=True).data})


class RetentionView(APIView):
    """Retention of a project."""

    needs = LIMITING

    @extend_schema(operation_id="get_retention", responses=answers(RetentionOut))
    def get(self, request: Request) -> Response:
        """Return the project's days and its rules."""
        return _answer(project_of(request))

    @extend_schema(operation_id="change_retention", request=RetentionOut, responses=answers(RetentionOut, 403))
    def patch(self, request: Request) -> Response:
        """Set the project's own days; 0 takes the installation's. What is stored keeps the days that it came with."""
        given = RetentionOut(data=request.data)
        given.is_valid(raise_exception=True)
        project = project_of(request)
        project.retention_days = given.validated_data["retention_days"]
        project.save(update_fields=["retention_days"])
        return _answer(project)


class RetentionRulesView(APIView):
    """The rules of a project."""

    needs = LIMITING

    @extend_schema(
        operation_id="add_retention_rule",
        request=RetentionRuleBody,
        responses=answers(RetentionRuleBody, 403, good=201),
    )
    def post(self, request: Request) -> Response:
        """Add a rule; it holds within ten seconds, for what arrives from then on."""
        rule = checked(RetentionRuleBody(RetentionRule(project=project_of(request)), data=request.data))
        rule.save()
        forget()
        return Response(RetentionRuleBody(rule).data, status=201)


class RetentionRuleView(APIView):
    """One rule."""

    needs = LIMITING

    @extend_schema(
        operation_id="change_retention_rule", request=RetentionRuleBody, responses=answers(RetentionRuleBody, 403, 404)
    )
    def patch(self, request: Request, rule_id: int) -> Response:
        """Change a rule; what is not named stays."""
        rule = get_object_or_404(RetentionRule, project=project_of(request), pk=rule_id)
        rule = checked(RetentionRuleBody(rule, data=request.data, partial=True))
        rule.save()
        forget()
        return Response(RetentionRuleBody(rule).data)

    @extend_schema(operation_id="delete_retention_rule", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Take a rule out."""
        get_object_or_404(RetentionRule, project=project_of(request), pk=rule_id).delete()
        forget()
        return Response(status=204)
