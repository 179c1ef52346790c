"""What experiments look like as JSON, and what may be asked of them."""

import json
import math
from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from heliograph.api.dataset_shapes import ListParameters, row_out
from heliograph.datasets.content import InvalidRowError, check_json
from heliograph.datasets.experiments import MAX_OUTPUT_BYTES, MAX_RESULTS
from heliograph.datasets.models import Endpoint, Experiment, Result, Row
from heliograph.datasets.results import ORDERS
from heliograph.query.paging import MAX_PAGE

# Side by side on a wide screen.
MAX_RUNS = 6
_MAX_SCORES_OF_A_RESULT = 50


class EndpointBody(serializers.ModelSerializer[Endpoint]):
    """An OpenAI-compatible server; `base_url` ends before /chat/completions."""

    key = serializers.CharField(required=False, allow_blank=True, write_only=True, max_length=2_000)

    class Meta:
        model = Endpoint
        fields = ("id", "name", "base_url", "key", "created_at")


class EndpointList(serializers.Serializer[Any]):
    """The endpoints by name."""

    items = EndpointBody(many=True)


class ExperimentIn(serializers.Serializer[Any]):
    """What to run. `target` is for the kind `endpoint`: endpoint (id or name), model, system, template, temperature,
    max_tokens, concurrency, rate_per_minute, attempts, timeout_s.
    """

    dataset = serializers.CharField(max_length=200, help_text="Its name, or its id.")
    version = serializers.IntegerField(default=0, min_value=0, help_text="0: the latest.")
    split = serializers.CharField(default="", allow_blank=True, max_length=50)
    name = serializers.CharField(max_length=200)
    kind = serializers.ChoiceField(Experiment.Kind.choices)
    target = serializers.DictField(default=dict)
    evaluators = serializers.ListField(
        child=serializers.JSONField(), default=list, help_text="Names, or objects of name, evaluator and arguments."
    )
    metadata = serializers.DictField(
        child=serializers.CharField(allow_blank=True), default=dict, help_text="Release, prompt, model, ... by name."
    )
    resume = serializers.BooleanField(default=False)


class ExperimentOut(serializers.ModelSerializer[Experiment]):
    """An experiment: how many of its rows are answered, failed and scored, and the means of its scores."""

    requested_by = serializers.CharField(source="requested_by.username", default=None)
    percent = serializers.IntegerField()
    url = serializers.SerializerMethodField(help_text="Its page.")

    def get_url(self, experiment: Experiment) -> str:
        """Return the address of the page."""
        return f"{settings.BASE_URL}/p/{experiment.project.slug}/experiments/{experiment.pk}"

    class Meta:
        model = Experiment
        fields = (
            *(
                "id",
                "dataset",
                "version",
                "split",
                "name",
                "kind",
                "status",
                "target",
                "evaluators",
                "metadata",
                "rows",
            ),
            *("done", "failed", "scored", "percent", "summary", "error", "cancel_requested", "requested_by", "url"),
            *("created_at", "started_at", "finished_at"),
        )


class ExperimentPage(serializers.Serializer[Any]):
    """Experiments, newest first."""

    items = ExperimentOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ExperimentParameters(ListParameters):
    """Which experiments."""

    dataset = serializers.IntegerField(required=False, help_text="Id of a data set.")
    status = serializers.ChoiceField(Experiment.Status.choices, required=False)


class VerdictIn(serializers.Serializer[Any]):
    """A score that the user's own code gave."""

    value = serializers.FloatField(allow_null=True)
    label = serializers.CharField(  # type: ignore[assignment]  # see Problem
        required=False, default="", allow_blank=True, max_length=200
    )
    explanation = serializers.CharField(required=False, default="", allow_blank=True, max_length=2_000)

    def validate_value(self, value: float | None) -> float | None:
        """A value is finite or null."""
        if value is not None and not math.isfinite(value):
            raise serializers.ValidationError("Must be finite, or null where no verdict was possible.")
        return value


class ResultIn(serializers.Serializer[Any]):
    """What a function answered to a row (`id`), or why it did not (`error`)."""

    id = serializers.CharField(max_length=200)
    output = serializers.JSONField(required=False, allow_null=True)
    error = serializers.CharField(required=False, default="", allow_blank=True, max_length=2_000)
    trace_id = serializers.RegexField(r"^([0-9a-f]{32})?$", required=False, default="", allow_blank=True)
    span_id = serializers.RegexField(r"^([0-9a-f]{16})?$", required=False, default="", allow_blank=True)
    duration_ms = serializers.FloatField(required=False, allow_null=True, min_value=0, max_value=1e9)
    scores = serializers.DictField(child=VerdictIn(), required=False, default=dict)


class ResultsIn(serializers.Serializer[Any]):
    """A batch: all are kept, or none."""

    results = ResultIn(many=True, allow_empty=False, max_length=MAX_RESULTS)  # type: ignore[call-arg]  # of many=True


class ResultsStored(serializers.Serializer[Any]):
    """How many were new, and how far the experiment is."""

    stored = serializers.IntegerField()
    done = serializers.IntegerField()
    rows = serializers.IntegerField()


class ResultParameters(ListParameters):
    """Which results."""

    name = None  # type: ignore[assignment]  # results have none
    status = serializers.ChoiceField(Result.Status.choices, required=False)


class ResultOut(serializers.Serializer[Any]):
    """A row's outcome; `scores` by name."""

    id = serializers.CharField()
    status = serializers.CharField()
    output = serializers.JSONField(allow_null=True)
    error = serializers.CharField()
    trace_id = serializers.CharField()
    span_id = serializers.CharField()
    attempts = serializers.IntegerField()
    duration_ms = serializers.FloatField(allow_null=True)
    input_tokens = serializers.IntegerField(allow_null=True)
    output_tokens = serializers.IntegerField(allow_null=True)
    scores = serializers.JSONField()
    row = serializers.JSONField()


class ResultPage(serializers.Serializer[Any]):
    """Results, in the rows' order."""

    items = ResultOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class CompareParameters(serializers.Serializer[Any]):
    """Which runs; the first is the baseline."""

    run = serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=MAX_RUNS)
    score = serializers.CharField(required=False, max_length=200)
    order = serializers.ChoiceField(ORDERS, default="change", help_text="change: flips, then the largest change.")
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)
    cursor = serializers.CharField(required=False, max_length=1_000)


class ComparedRowOut(serializers.Serializer[Any]):
    """A row in each of the runs."""

    id = serializers.CharField()
    values = serializers.ListField(child=serializers.FloatField(allow_null=True))
    change = serializers.FloatField(allow_null=True)
    is_flip = serializers.BooleanField()
    results = ResultOut(many=True, allow_null=True)


class ComparedPage(serializers.Serializer[Any]):
    """Rows of several runs side by side."""

    score = serializers.CharField()
    scores = serializers.ListField(child=serializers.CharField())
    statistics = serializers.ListField(child=serializers.JSONField(allow_null=True))
    items = ComparedRowOut(many=True)
    total = serializers.IntegerField()
    next_cursor = serializers.CharField(allow_null=True)


def result_out(result: Result) -> dict[str, Any]:
    """Return a result as the API shows it."""
    names = (
        *("status", "output", "error", "trace_id", "span_id", "attempts", "duration_ms", "input_tokens"),
        *("output_tokens", "scores"),
    )
    return {"id": result.key, **{name: getattr(result, name) for name in names}, "row": row_out(result.row)}


def result_of(experiment: Experiment, row: Row, number: int, given: dict[str, Any]) -> Result:
    """Return the result of a request's body. Raises ValidationError that names it."""
    output = given.get("output")
    try:
        check_json("output", output)
    except InvalidRowError as error:
        raise ValidationError({f"results.{number}.output": [error.message]}) from error
    if len(json.dumps(output)) > MAX_OUTPUT_BYTES:
        raise ValidationError({f"results.{number}.output": [f"has more than {MAX_OUTPUT_BYTES:,} bytes as JSON"]})
    if len(given["scores"]) > _MAX_SCORES_OF_A_RESULT or any(len(name) > 200 for name in given["scores"]):
        raise ValidationError({f"results.{number}.scores": ["At most 50, with names of 200 characters at most."]})
    failed = bool(given["error"])
    return Result(
        experiment=experiment,
        row=row,
        key=row.key,
        position=row.position,
        content_id=row.content_id,
        status=Result.Status.ERROR if failed else Result.Status.OK,
        output=output,
        error=given["error"],
        trace_id=given["trace_id"],
        span_id=given["span_id"],
        duration_ms=given.get("duration_ms"),
        scores={name: dict(verdict) for name, verdict in given["scores"].items()},
        is_scored=failed or not (experiment.evaluators or given["scores"]),
    )
