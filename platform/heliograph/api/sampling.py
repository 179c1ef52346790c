"""Sampling rules, what they would have kept, and what they did."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.api.ordered_rules import MoveIn, MoveView, RulesView, RuleView, answers, checked, project_of
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.representation import serializer_of
from heliograph.query import ledger
from heliograph.query.ledger import Sampling
from heliograph.rules.models import SamplingRule
from heliograph.tail.preview import SamplingPreview, preview


class SamplingRuleBody(serializers.ModelSerializer[SamplingRule]):
    """A sampling rule: `threshold` is seconds, USD or a score's value, by its condition; `rate` is from 0 to 1."""

    class Meta:
        model = SamplingRule
        fields = (
            *("id", "name", "enabled", "stage", "condition", "threshold", "score", "service", "environment", "rate"),
            "position",
        )
        read_only_fields = ("id", "position")


class SamplingRuleList(serializers.Serializer[Any]):
    """The rules in the order in which they are asked."""

    items = SamplingRuleBody(many=True)


class SamplingPreviewIn(RangeParameters):
    """A time range whose stored traces are tried, with a rule that is not saved behind the others."""

    rule = SamplingRuleBody(required=False)


class SamplingRulesView(RulesView):
    """Sampling rules."""

    model = SamplingRule
    serializer = SamplingRuleBody

    @extend_schema(operation_id="list_sampling_rules", responses=answers(SamplingRuleList))
    def get(self, request: Request) -> Response:
        """List the rules in the order in which they are asked."""
        return super().get(request)

    @extend_schema(
        operation_id="add_sampling_rule", request=SamplingRuleBody, responses=answers(SamplingRuleBody, 403, good=201)
    )
    def post(self, request: Request) -> Response:
        """Add a rule behind the others; it holds within ten seconds."""
        return super().post(request)


class SamplingRuleView(RuleView):
    """One sampling rule."""

    model = SamplingRule
    serializer = SamplingRuleBody

    @extend_schema(operation_id="get_sampling_rule", responses=answers(SamplingRuleBody, 404))
    def get(self, request: Request, rule_id: int) -> Response:
        """Return a rule."""
        return super().get(request, rule_id)

    @extend_schema(
        operation_id="change_sampling_rule", request=SamplingRuleBody, responses=answers(SamplingRuleBody, 403, 404)
    )
    def patch(self, request: Request, rule_id: int) -> Response:
        """Change a rule, or switch it on or off; what is not named stays."""
        return super().patch(request, rule_id)

    @extend_schema(operation_id="delete_sampling_rule", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Take a rule out; what was removed by then stays removed."""
        return super().delete(request, rule_id)


class SamplingMoveView(MoveView):
    """The order of sampling rules."""

    model = SamplingRule
    serializer = SamplingRuleBody

    @extend_schema(operation_id="move_sampling_rule", request=MoveIn, responses=answers(SamplingRuleList, 403, 404))
    def post(self, request: Request, rule_id: int) -> Response:
        """Have a rule asked earlier or later."""
        return super().post(request, rule_id)


class SamplingPreviewView(APIView):
    """What the rules would have kept."""

    needs = EDITING

    @extend_schema(
        operation_id="preview_sampling",
        request=SamplingPreviewIn,
        responses=answers(serializer_of(SamplingPreview), 403),
    )
    def post(self, request: Request) -> Response:
        """Try the enabled rules on the newest stored traces of a time range; nothing is removed."""
        given = SamplingPreviewIn(data=request.data)
        given.is_valid(raise_exception=True)
        project = project_of(request)
        rules = list(SamplingRule.objects.filter(project=project, enabled=True))
        if "rule" in given.validated_data:
            rules.append(checked(SamplingRuleBody(SamplingRule(project=project), data=given.validated_data["rule"])))
        return Response(serializer_of(SamplingPreview)(preview(project.pk, given.time_range(), rules)).data)


class SamplingDecidedView(APIView):
    """What sampling of whole traces decided."""

    needs = READING

    @extend_schema(
        operation_id="get_sampling", parameters=[RangeParameters], responses=answers(serializer_of(Sampling))
    )
    def get(self, request: Request) -> Response:
        """Return how many traces were kept of how many, by rule, by the time of the decision."""
        span = read(RangeParameters, request).time_range()
        return Response(serializer_of(Sampling)(ledger.sampling(project_of(request).pk, span)).data)
