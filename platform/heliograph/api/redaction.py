"""Redaction rules, and a trial of them on a text or a stored span."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING
from heliograph.api.ordered_rules import MoveIn, MoveView, RulesView, RuleView, answers, checked, project_of
from heliograph.api.representation import serializer_of
from heliograph.ingest.redaction_trial import redactor_with, try_stored
from heliograph.rules.finders import BUILT_IN, UnusableRuleError
from heliograph.rules.models import RedactionRule
from heliograph.rules.trial import MAX_CHARACTERS, SpanTrial, Trial, try_text


class RedactionRuleBody(serializers.ModelSerializer[RedactionRule]):
    """A redaction rule. `kinds` are a built-in rule's; `pattern` is an expression, a key or Presidio's entities."""

    kinds = serializers.ListField(child=serializers.ChoiceField(sorted(BUILT_IN)), required=False, max_length=20)

    class Meta:
        model = RedactionRule
        fields = ("id", "name", "enabled", "kind", "kinds", "pattern", "action", "position")
        read_only_fields = ("id", "position")


class RedactionRuleList(serializers.Serializer[Any]):
    """The rules in the order in which they are asked."""

    items = RedactionRuleBody(many=True)


class RedactionTrialIn(serializers.Serializer[Any]):
    """A text or a stored span to try the enabled rules on, with a rule that is not saved behind them."""

    text = serializers.CharField(
        required=False, default="", allow_blank=True, trim_whitespace=False, max_length=MAX_CHARACTERS
    )
    trace_id = serializers.RegexField(r"^[0-9a-f]{32}$", required=False, default="")
    span_id = serializers.RegexField(r"^[0-9a-f]{16}$", required=False, default="")
    rule = RedactionRuleBody(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of both is tried."""
        if bool(attrs["text"]) == bool(attrs["trace_id"] and attrs["span_id"]):
            raise serializers.ValidationError({"text": ["Give a text, or a trace_id and a span_id."]})
        return attrs


class RedactionTrialOut(serializers.Serializer[Any]):
    """What would be blanked: of the text, or of the span."""

    text = serializer_of(Trial)(allow_null=True)
    span = serializer_of(SpanTrial)(allow_null=True)


class RedactionRulesView(RulesView):
    """Redaction rules."""

    model = RedactionRule
    serializer = RedactionRuleBody

    @extend_schema(operation_id="list_redaction_rules", responses=answers(RedactionRuleList))
    def get(self, request: Request) -> Response:
        """List the rules in the order in which they are asked."""
        return super().get(request)

    @extend_schema(
        operation_id="add_redaction_rule",
        request=RedactionRuleBody,
        responses=answers(RedactionRuleBody, 403, good=201),
    )
    def post(self, request: Request) -> Response:
        """Add a rule behind the others; it holds within ten seconds."""
        return super().post(request)


class RedactionRuleView(RuleView):
    """One redaction rule."""

    model = RedactionRule
    serializer = RedactionRuleBody

    @extend_schema(operation_id="get_redaction_rule", responses=answers(RedactionRuleBody, 404))
    def get(self, request: Request, rule_id: int) -> Response:
        """Return a rule."""
        return super().get(request, rule_id)

    @extend_schema(
        operation_id="change_redaction_rule", request=RedactionRuleBody, responses=answers(RedactionRuleBody, 403, 404)
    )
    def patch(self, request: Request, rule_id: int) -> Response:
        """Change a rule, or switch it on or off; what is not named stays."""
        return super().patch(request, rule_id)

    @extend_schema(operation_id="delete_redaction_rule", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Take a rule out; what it blanked stays blanked."""
        return super().delete(request, rule_id)


class RedactionMoveView(MoveView):
    """The order of redaction rules."""

    model = RedactionRule
    serializer = RedactionRuleBody

    @extend_schema(operation_id="move_redaction_rule", request=MoveIn, responses=answers(RedactionRuleList, 403, 404))
    def post(self, request: Request, rule_id: int) -> Response:
        """Have a rule asked earlier or later."""
        return super().post(request, rule_id)


class RedactionTrialView(APIView):
    """What the rules would blank."""

    needs = EDITING

    @extend_schema(
        operation_id="try_redaction", request=RedactionTrialIn, responses=answers(RedactionTrialOut, 403, 404)
    )
    def post(self, request: Request) -> Response:
        """Try the enabled rules; nothing is stored, and nothing of the text is logged."""
        given = RedactionTrialIn(data=request.data)
        given.is_valid(raise_exception=True)
        project = project_of(request)
        draft = None
        if "rule" in given.validated_data:
            draft = checked(RedactionRuleBody(RedactionRule(project=project), data=given.validated_data["rule"]))
        try:
            redactor = redactor_with(project.pk, draft)
        except UnusableRuleError as error:
            raise ValidationError({"rule": [str(error)]}) from error
        if given.validated_data["text"]:
            return Response(
                RedactionTrialOut({"text": try_text(redactor, given.validated_data["text"]), "span": None}).data
            )
        found = try_stored(project.pk, redactor, given.validated_data["trace_id"], given.validated_data["span_id"])
        if found is None:
            raise NotFound("The project has no such span.")
        return Response(RedactionTrialOut({"text": None, "span": found}).data)
