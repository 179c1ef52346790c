"""Targets of the scraper."""

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import CONFIGURING
from heliograph.accounts.models import Project
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.scrape.models import MAX_TARGETS, ScrapeTarget


class TargetOut(serializers.ModelSerializer[ScrapeTarget]):
    """A target and how it went last; `last_error` is '' where all is well."""

    labels = serializers.DictField(child=serializers.CharField(), required=False)

    class Meta:
        model = ScrapeTarget
        fields = (
            *("id", "name", "url", "interval_s", "timeout_s", "labels", "source", "is_paused", "last_scrape_at"),
            *("last_error", "last_seconds", "last_samples"),
        )
        read_only_fields = ("id", "source", "last_scrape_at", "last_error", "last_seconds", "last_samples")


class TargetList(serializers.Serializer[Any]):
    """Every target of a project."""

    items = TargetOut(many=True)


def _answers(kind: Any, *statuses: int) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, *statuses)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


def _project(request: Request) -> Project:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth


def _save(given: TargetOut, target: ScrapeTarget) -> Response:
    given.is_valid(raise_exception=True)
    for name, value in given.validated_data.items():
        setattr(target, name, value)
    # The model's own checks: the timeout within the interval, one target an address. Raised as Django's.
    try:
        target.full_clean()
    except DjangoValidationError as error:
        raise ValidationError(error.message_dict) from error
    target.save()
    return Response(TargetOut(target).data)


class TargetsView(APIView):
    """Targets of a project."""

    needs = CONFIGURING

    @extend_schema(operation_id="list_scrape_targets", responses=_answers(TargetList))
    def get(self, request: Request) -> Response:
        """List every target with its last scrape."""
        return Response(TargetList({"items": _project(request).scrape_targets.all()[:MAX_TARGETS]}).data)

    @extend_schema(operation_id="add_scrape_target", request=TargetOut, responses=_answers(TargetOut, 403))
    def post(self, request: Request) -> Response:
        """Add a target."""
        project = _project(request)
        if project.scrape_targets.count() >= MAX_TARGETS:
            raise ValidationError({"url": [f"A project has at most {MAX_TARGETS} targets."]})
        return _save(TargetOut(data=request.data), ScrapeTarget(project=project))


class OneTargetView(APIView):
    """One target."""

    needs = CONFIGURING

    @extend_schema(operation_id="get_scrape_target", responses=_answers(TargetOut, 404))
    def get(self, request: Request, target_id: int) -> Response:
        """Return a target with its last scrape."""
        return Response(TargetOut(get_object_or_404(_project(request).scrape_targets, pk=target_id)).data)

    @extend_schema(operation_id="set_scrape_target", request=TargetOut, responses=_answers(TargetOut, 403, 404))
    def patch(self, request: Request, target_id: int) -> Response:
        """Change or pause a target; one that was found by discovery can only be paused."""
        target = get_object_or_404(_project(request).scrape_targets, pk=target_id)
        if target.source != ScrapeTarget.Source.SETTINGS and set(request.data) - {"is_paused"}:
            raise ValidationError({"is_paused": ["A target that was found by discovery can only be paused."]})
        return _save(TargetOut(target, data=request.data, partial=True), target)

    @extend_schema(operation_id="remove_scrape_target", responses={204: None, **_answers(None, 403, 404)})
    def delete(self, request: Request, target_id: int) -> Response:
        """Remove a target that a person added."""
        own = _project(request).scrape_targets.filter(source=ScrapeTarget.Source.SETTINGS)
        get_object_or_404(own, pk=target_id).delete()
        return Response(status=204)
