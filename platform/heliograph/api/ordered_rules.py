"""What the endpoints of redaction and of sampling rules share: rules in an order.

Rules bind the senders, whose keys lie where they run; so they take a person, or a key made to administer.
"""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import CONFIGURING
from heliograph.accounts.models import Project
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.rules.models import Ordered
from heliograph.rules.project import forget


class MoveIn(serializers.Serializer[Any]):
    """Whether the rule shall be asked earlier or later."""

    step = serializers.ChoiceField(["up", "down"])


def answers(kind: Any, *statuses: int, good: int = 200) -> Any:
    """Describe the answers of an endpoint."""
    described: dict[Any, Any] = {(good, "application/json"): OpenApiResponse(kind)}
    for status in (400, 401, *statuses):
        described[status, CONTENT_TYPE] = OpenApiResponse(Problem)
    return described


def project_of(request: Request) -> Project:
    """Return the project that the request is for."""
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth


class OfProject(serializers.PrimaryKeyRelatedField[Any]):
    """The id of something of the project in the serializer's context; of another's, it does not exist."""

    def get_queryset(self) -> Any:
        """Return the project's own."""
        found: Any = super().get_queryset()
        return found.filter(project=self.context["project"])


class RulesView(APIView):
    """Rules of one kind; a subclass names `model` and `serializer`."""

    needs = CONFIGURING
    model: type[Ordered]
    serializer: type[serializers.ModelSerializer[Any]]

    def get(self, request: Request) -> Response:
        """List the rules in the order in which they are asked."""
        rules = self.model._default_manager.filter(project=project_of(request))
        return Response({"items": self.serializer(rules, many=True).data})

    def post(self, request: Request) -> Response:
        """Add a rule behind the others."""
        rule = checked(self.serializer(self.model(project=project_of(request)), data=request.data))
        rule.append()
        forget()
        return Response(self.serializer(rule).data, status=201)


class RuleView(APIView):
    """One rule of one kind; see RulesView."""

    needs = CONFIGURING
    model: type[Ordered]
    serializer: type[serializers.ModelSerializer[Any]]

    def rule(self, request: Request, rule_id: int) -> Ordered:
        """Return the rule of the project."""
        return get_object_or_404(self.model, project=project_of(request), pk=rule_id)

    def get(self, request: Request, rule_id: int) -> Response:
        """Return a rule."""
        return Response(self.serializer(self.rule(request, rule_id)).data)

    def patch(self, request: Request, rule_id: int) -> Response:
        """Change a rule; what is not named stays."""
        rule = checked(self.serializer(self.rule(request, rule_id), data=request.data, partial=True))
        rule.save()
        forget()
        return Response(self.serializer(rule).data)

    def delete(self, request: Request, rule_id: int) -> Response:
        """Take a rule out."""
        self.rule(request, rule_id).delete()
        forget()
        return Response(status=204)


class MoveView(APIView):
    """The place of one rule in the order; see RulesView."""

    needs = CONFIGURING
    model: type[Ordered]
    serializer: type[serializers.ModelSerializer[Any]]

    def post(self, request: Request, rule_id: int) -> Response:
        """Have a rule asked earlier or later; at an end it stays."""
        given = MoveIn(data=request.data)
        given.is_valid(raise_exception=True)
        project = project_of(request)
        get_object_or_404(self.model, project=project, pk=rule_id).move(
            -1 if given.validated_data["step"] == "up" else 1
        )
        forget()
        rules = self.model._default_manager.filter(project=project)
        return Response({"items": self.serializer(rules, many=True).data})


def checked(serializer: serializers.ModelSerializer[Any]) -> Any:
    """Return the rule as it was asked for, not saved yet. Raises ValidationError, also for what its model refuses."""
    serializer.is_valid(raise_exception=True)
    rule: Any = serializer.instance
    for name, value in serializer.validated_data.items():
        setattr(rule, name, value)
    try:
        rule.full_clean()
    except ModelError as error:
        raise ValidationError(error.message_dict) from error
    return rule
