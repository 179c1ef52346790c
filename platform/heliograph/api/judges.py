"""The models that judge for a project, and the versions of what they are asked."""

from typing import Any

from django.db.models import ProtectedError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from evaluators.judges.templates import BUILT_IN
from heliograph.accounts.doors import CONFIGURING
from heliograph.accounts.secrets import encrypt
from heliograph.api.evaluation_rules import checked, person_of
from heliograph.api.ordered_rules import answers, project_of
from heliograph.evals.models import JudgeEndpoint, JudgeTemplate

# A signed token of an identity provider takes a kilobyte or two.
MAX_KEY_CHARACTERS = 4_000


class JudgeEndpointBody(serializers.ModelSerializer[JudgeEndpoint]):
    """A chat model. `api_key` is stored encrypted and never shown; left out of a change, it stays; '' removes it."""

    api_key = serializers.CharField(write_only=True, required=False, allow_blank=True, max_length=MAX_KEY_CHARACTERS)
    has_key = serializers.SerializerMethodField()

    class Meta:
        model = JudgeEndpoint
        fields = (
            *("id", "name", "base_url", "model", "api_key", "has_key", "input_usd_per_million"),
            *("output_usd_per_million", "timeout_seconds", "concurrency", "updated_at"),
        )
        read_only_fields = ("id", "updated_at")
        validators: list[Any] = []

    def validate_api_key(self, value: str) -> str:
        """A key is encrypted before it is anywhere else."""
        return encrypt(value) if value else ""

    def get_has_key(self, endpoint: JudgeEndpoint) -> bool:
        """Whether a key is stored."""
        return bool(endpoint.api_key)


class JudgeEndpointList(serializers.Serializer[Any]):
    """The judges by name."""

    items = JudgeEndpointBody(many=True)


class JudgeTemplateBody(serializers.ModelSerializer[JudgeTemplate]):
    """One version of a template; `revision` is a hash of what the judge is told, and stands in every score."""

    revision = serializers.CharField(read_only=True)

    class Meta:
        model = JudgeTemplate
        fields = ("id", "name", "version", "mode", "instruction", "lowest", "highest", "revision", "created_at")
        read_only_fields = ("id", "version", "created_at")
        validators: list[Any] = []


class BuiltInOut(serializers.Serializer[Any]):
    """A template that comes with the product; a rule names it as the argument `template`."""

    name = serializers.CharField()
    mode = serializers.CharField()
    instruction = serializers.CharField()
    lowest = serializers.IntegerField()
    highest = serializers.IntegerField()
    revision = serializers.CharField()


class JudgeTemplateList(serializers.Serializer[Any]):
    """The project's templates, the newest version first, and those that come with the product."""

    items = JudgeTemplateBody(many=True)
    built_in = BuiltInOut(many=True)


class JudgeEndpointsView(APIView):
    """Models that judge."""

    needs = CONFIGURING

    @extend_schema(operation_id="list_judge_endpoints", responses=answers(JudgeEndpointList))
    def get(self, request: Request) -> Response:
        """List the judges."""
        return Response({"items": JudgeEndpointBody(project_of(request).judge_endpoints.all(), many=True).data})

    @extend_schema(
        operation_id="add_judge_endpoint",
        request=JudgeEndpointBody,
        responses=answers(JudgeEndpointBody, 403, good=201),
    )
    def post(self, request: Request) -> Response:
        """Add a judge: an OpenAI-compatible endpoint, or without an address a local model."""
        new = checked(JudgeEndpointBody(data=request.data), JudgeEndpoint(project=project_of(request)))
        new.save()
        return Response(JudgeEndpointBody(new).data, status=201)


class JudgeEndpointView(APIView):
    """One judge."""

    needs = CONFIGURING

    @extend_schema(
        operation_id="change_judge_endpoint",
        request=JudgeEndpointBody,
        responses=answers(JudgeEndpointBody, 403, 404),
    )
    def patch(self, request: Request, endpoint_id: int) -> Response:
        """Change a judge. With another address its key must be given again, so that it goes to no other place."""
        endpoint = get_object_or_404(project_of(request).judge_endpoints, pk=endpoint_id)
        given = JudgeEndpointBody(endpoint, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        moves = given.validated_data.get("base_url", endpoint.base_url) != endpoint.base_url
        if moves and endpoint.api_key and "api_key" not in given.validated_data:
            raise ValidationError({"api_key": ["Give the key again: it is not sent to a new address by itself."]})
        checked(given, endpoint).save()
        return Response(JudgeEndpointBody(endpoint).data)

    @extend_schema(operation_id="delete_judge_endpoint", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, endpoint_id: int) -> Response:
        """Remove a judge that no rule uses."""
        try:
            get_object_or_404(project_of(request).judge_endpoints, pk=endpoint_id).delete()
        except ProtectedError as error:
            raise ValidationError({"rules": ["A rule uses this judge; change the rule first."]}) from error
        return Response(status=204)


class JudgeTemplatesView(APIView):
    """What judges are asked."""

    needs = CONFIGURING

    @extend_schema(operation_id="list_judge_templates", responses=answers(JudgeTemplateList))
    def get(self, request: Request) -> Response:
        """List every version of every template."""
        rows = project_of(request).judge_templates.all()
        built_in = [
            {
                "name": name,
                "mode": each.mode,
                "instruction": each.instruction,
                "lowest": each.lowest,
                "highest": each.highest,
                "revision": each.revision,
            }
            for name, each in BUILT_IN.items()
        ]
        return Response({"items": JudgeTemplateBody(rows, many=True).data, "built_in": built_in})

    @extend_schema(
        operation_id="add_judge_template",
        request=JudgeTemplateBody,
        responses=answers(JudgeTemplateBody, 403, good=201),
    )
    def post(self, request: Request) -> Response:
        """Add a template, or the next version of the one that has this name; no version is ever changed."""
        row = JudgeTemplate(project=project_of(request), created_by=person_of(request))
        given = JudgeTemplateBody(data=request.data)
        checked(given, row).append()
        return Response(JudgeTemplateBody(row).data, status=201)
