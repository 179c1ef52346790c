"""A project's mapping rules: changed, tried, explained, and applied to spans that are stored already."""

from collections.abc import Callable
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from collectors.semconv.rules import MAX_RULES, MAX_SOURCE_CHARS, TARGETS, Rule
from heliograph.accounts.doors import EDITING, READING
from heliograph.accounts.models import User
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.representation import serializer_of
from heliograph.conventions import rulesets
from heliograph.conventions.mapping import BUILT_IN, ProjectMapping
from heliograph.conventions.models import Reapplication, Ruleset
from heliograph.query import spans
from heliograph.query.attribute_keys import SeenKey
from heliograph.remap import queue
from heliograph.remap.inspect import SpanMapping, mapping_of
from heliograph.remap.preview import PreviewedSpan, preview
from heliograph.remap.unmapped import unmapped_keys

# Newest first; who wants more than these reads a database dump.
MAX_LISTED = 200


class RuleIn(serializers.Serializer[Any]):
    """A mapping rule: an attribute key, or what begins with a prefix, fills a field."""

    source = serializers.CharField(max_length=MAX_SOURCE_CHARS, help_text="The key, or the prefix, as it is sent.")  # type: ignore[assignment]  # a field, which the metaclass takes out of the class
    field = serializers.ChoiceField(sorted(TARGETS), help_text="The canonical field that it fills.")
    match = serializers.ChoiceField(["exact", "prefix"], default="exact")
    conversion = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=40, help_text="How it is read; '' the usual way."
    )
    order = serializers.ChoiceField(
        ["before", "after"], default="before", help_text="Before the built-in table, or where that fills nothing."
    )
    enabled = serializers.BooleanField(default=True)


class RuleChange(RuleIn):
    """What a rule shall be; what is not named stays."""


class RuleOut(RuleIn):
    """A stored mapping rule; its id stays through revisions."""

    id = serializers.CharField()


class RuleList(serializers.Serializer[Any]):
    """The rules in force, in order, with the revision that they are."""

    revision = serializers.IntegerField()
    rules = RuleOut(many=True)


class FieldOut(serializers.Serializer[Any]):
    """A field that a rule may fill, and the ways to read a value for it, the usual one first."""

    name = serializers.CharField()
    title = serializers.CharField()
    type = serializers.CharField()
    conversions = serializers.DictField(child=serializers.CharField())


class FieldList(serializers.Serializer[Any]):
    """Every field that a rule may fill."""

    fields = FieldOut(many=True)  # type: ignore[assignment]  # see RuleIn


class PreviewIn(RuleIn, RangeParameters):
    """A rule to try, in the place of the rule `id` where that is given, on spans of a time range."""

    id = serializers.CharField(required=False, default="", max_length=12)
    enabled = None  # type: ignore[assignment]  # a rule that is tried is on


class PreviewOut(serializers.Serializer[Any]):
    """The newest spans with the rule's key, and what would change: by span, and how many spans by column."""

    spans = serializer_of(PreviewedSpan)(many=True)
    columns = serializers.DictField(child=serializers.IntegerField())
    changed = serializers.IntegerField()


class UnmappedParameters(RangeParameters):
    """The time range whose newest spans are looked at."""

    key = serializers.CharField(required=False, default="", max_length=100, help_text="Part of a key.")


class UnmappedOut(serializers.Serializer[Any]):
    """Keys that neither the built-in table nor a rule reads, most frequent first, over `sampled_spans` spans."""

    keys = serializer_of(SeenKey)(many=True)
    total = serializers.IntegerField()
    mapped = serializers.IntegerField()
    sampled_spans = serializers.IntegerField()


class RevisionOut(serializers.ModelSerializer[Ruleset]):
    """One revision of the rules."""

    created_by = serializers.CharField(source="created_by.username", default=None)

    class Meta:
        model = Ruleset
        fields = ("revision", "change", "rules", "created_by", "created_at")


class RevisionList(serializers.Serializer[Any]):
    """The newest revisions, newest first."""

    items = RevisionOut(many=True)


class ReapplicationIn(serializers.Serializer[Any]):
    """The time range of spans to fill again; the last minutes too where `end` is left out."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField(required=False)


class ReapplicationOut(serializers.ModelSerializer[Reapplication]):
    """One re-application and how far it is."""

    percent = serializers.IntegerField(help_text="Of the time range.")
    requested_by = serializers.CharField(source="requested_by.username", default=None)

    class Meta:
        model = Reapplication
        fields = (
            *("id", "revision", "start", "end", "status", "percent", "cancel_requested", "spans_total", "spans_done"),
            *("spans_changed", "note", "error", "requested_by", "created_at", "started_at", "finished_at"),
        )


class ReapplicationList(serializers.Serializer[Any]):
    """The newest jobs, newest first."""

    items = ReapplicationOut(many=True)


class Conflict(APIException):
    """The request cannot be done as things stand."""

    status_code = 409


def _person(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _given(kind: type[serializers.Serializer[Any]], request: Request, **options: Any) -> Any:
    given = kind(data=request.data, **options)
    given.is_valid(raise_exception=True)
    return given


def _done(change: Callable[[], Any]) -> Any:
    """Return what a change returns; as problems what no rule may be, and a rule that there is not."""
    try:
        return change()
    except rulesets.InvalidRule as invalid:
        raise ValidationError({invalid.field: [invalid.message]}) from invalid
    except rulesets.UnknownRule as error:
        raise NotFound("The project has no such rule.") from error


def _rule(given: Any) -> Rule:
    rule: Rule = _done(lambda: rulesets.rule_of(given))
    return rule


class FieldsView(APIView):
    """Fields that a rule may fill."""

    needs = READING

    @extend_schema(operation_id="list_mappable_fields", responses=answers(FieldList))
    def get(self, request: Request) -> Response:
        """List the canonical fields with the ways to read a value."""
        fields = [
            {
                "name": name,
                "title": target.title,
                "type": target.type,
                "conversions": {key: conversion.title for key, conversion in target.conversions.items()},
            }
            for name, target in TARGETS.items()
        ]
        return Response(FieldList({"fields": fields}).data)


class RulesView(APIView):
    """Mapping rules."""

    needs = EDITING

    @extend_schema(operation_id="list_mapping_rules", responses=answers(RuleList))
    def get(self, request: Request) -> Response:
        """Return the rules in force."""
        latest = Ruleset.latest(project_of(request).pk)
        body = {"revision": latest.revision if latest else 0, "rules": latest.rules if latest else []}
        return Response(RuleList(body).data)

    @extend_schema(
        operation_id="add_mapping_rule",
        request=RuleIn,
        responses=answers(RuleOut, 403, good=201),
        description=f"Add a rule behind the others, {MAX_RULES} at most. The next revision holds within 15 seconds.",
    )
    def post(self, request: Request) -> Response:
        """Add a rule."""
        given = _given(RuleIn, request).validated_data
        rule = _rule(given)
        entry = _done(lambda: rulesets.add_rule(project_of(request), _person(request), rule, enabled=given["enabled"]))
        return Response(RuleOut(entry).data, status=201)


class RuleView(APIView):
    """One mapping rule."""

    needs = EDITING

    @extend_schema(operation_id="get_mapping_rule", responses=answers(RuleOut, 404))
    def get(self, request: Request, rule_id: str) -> Response:
        """Return a rule in force."""
        return Response(RuleOut(_done(lambda: rulesets.get_rule(project_of(request), rule_id))).data)

    @extend_schema(operation_id="change_mapping_rule", request=RuleChange, responses=answers(RuleOut, 403, 404))
    def patch(self, request: Request, rule_id: str) -> Response:
        """Change a rule, or switch it on or off."""
        project = project_of(request)
        given = _given(RuleChange, request, partial=True).validated_data
        stored = _done(lambda: rulesets.get_rule(project, rule_id))
        changed = {name: given[name] for name in rulesets.NAMES if name in given}
        rule = _rule(stored | changed) if changed else None
        entry = _done(
            lambda: rulesets.change_rule(
                project, _person(request), rule_id, rule, enabled=given.get("enabled", stored["enabled"])
            )
        )
        return Response(RuleOut(entry).data)

    @extend_schema(operation_id="delete_mapping_rule", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, rule_id: str) -> Response:
        """Take a rule out; earlier revisions keep it."""
        _done(lambda: rulesets.remove_rule(project_of(request), _person(request), rule_id))
        return Response(status=204)


class PreviewView(APIView):
    """What a rule would change."""

    needs = EDITING

    @extend_schema(operation_id="preview_mapping_rule", request=PreviewIn, responses=answers(PreviewOut, 403, 404))
    def post(self, request: Request) -> Response:
        """Try a rule on the newest stored spans that have its key; nothing is changed."""
        given = _given(PreviewIn, request)
        project, rule = project_of(request), _rule(given.validated_data)
        rules = _done(lambda: rulesets.drafted(project, rule, given.validated_data["id"]))
        return Response(PreviewOut(preview(project.pk, given.time_range(), rule, rules)).data)


class UnmappedView(APIView):
    """Keys that nobody maps."""

    needs = READING

    @extend_schema(operation_id="list_unmapped_keys", parameters=[UnmappedParameters], responses=answers(UnmappedOut))
    def get(self, request: Request) -> Response:
        """List the unmapped attribute keys of the newest spans of a time range."""
        given = read(UnmappedParameters, request)
        project = project_of(request)
        latest = Ruleset.latest(project.pk)
        mapping = ProjectMapping(latest.revision, latest.index) if latest else BUILT_IN
        found = unmapped_keys(project.pk, given.time_range(), mapping.index, given.validated_data["key"])
        return Response(UnmappedOut(found).data)


class RevisionsView(APIView):
    """Revisions of the rules."""

    needs = READING

    @extend_schema(operation_id="list_mapping_revisions", responses=answers(RevisionList))
    def get(self, request: Request) -> Response:
        """List what changed in the rules, and by whom."""
        found = Ruleset.objects.filter(project=project_of(request)).select_related("created_by")[:MAX_LISTED]
        return Response(RevisionList({"items": found}).data)


class ReapplicationsView(APIView):
    """Re-applications of the rules to stored spans."""

    needs = EDITING

    @extend_schema(operation_id="list_reapplications", responses=answers(ReapplicationList))
    def get(self, request: Request) -> Response:
        """List the jobs with their progress."""
        found = Reapplication.objects.filter(project=project_of(request)).select_related("requested_by")[:MAX_LISTED]
        return Response(ReapplicationList({"items": found}).data)

    @extend_schema(
        operation_id="start_reapplication",
        request=ReapplicationIn,
        responses=answers(ReapplicationOut, 403, 409, good=201),
    )
    def post(self, request: Request) -> Response:
        """Queue a pass over the spans of a time range by the rules in force; one at a time."""
        given = _given(ReapplicationIn, request).validated_data
        try:
            job = queue.start(project_of(request), _person(request), given["start"], given.get("end"))
        except queue.CannotStart as reason:
            raise Conflict(str(reason)) from reason
        return Response(ReapplicationOut(job).data, status=201)


class ReapplicationView(APIView):
    """One re-application."""

    needs = READING

    @extend_schema(operation_id="get_reapplication", responses=answers(ReapplicationOut, 404))
    def get(self, request: Request, job_id: int) -> Response:
        """Return a job with its progress."""
        return Response(ReapplicationOut(get_object_or_404(Reapplication, project=project_of(request), pk=job_id)).data)


class CancelView(APIView):
    """The end of a re-application before its time."""

    needs = EDITING

    @extend_schema(operation_id="cancel_reapplication", request=None, responses=answers(ReapplicationOut, 403, 404))
    def post(self, request: Request, job_id: int) -> Response:
        """Have a job end after the spans at hand; what is done stays done."""
        job = get_object_or_404(Reapplication, project=project_of(request), pk=job_id)
        queue.cancel(job)
        job.refresh_from_db()
        return Response(ReapplicationOut(job).data)


class SpanMappingView(APIView):
    """What filled a span's fields."""

    needs = READING

    @extend_schema(operation_id="get_span_mapping", responses=answers(serializer_of(SpanMapping), 404))
    def get(self, request: Request, trace_id: str, span_id: str) -> Response:
        """Return which key, of which convention or rule, filled each field, and which keys nobody maps."""
        project = project_of(request)
        span = spans.get_span(project.pk, trace_id, span_id)
        if span is None:
            raise NotFound("The project has no such span.")
        return Response(serializer_of(SpanMapping)(mapping_of(project.pk, span)).data)
