"""What annotation looks like as JSON, and what may be asked of it."""

from typing import Any

from rest_framework import serializers

from evaluators.calibration.threshold import CRITERIA
from heliograph.annotation import agreement, assigning, queues
from heliograph.annotation.choosing import MAX_NAMED
from heliograph.annotation.corrections import MAX_MOVED
from heliograph.annotation.models import Annotation, Calibration, Item, Queue, Slot
from heliograph.annotation.rubric import Kind
from heliograph.api.ordered_rules import OfProject
from heliograph.api.parameters import RangeParameters
from heliograph.api.representation import NanosecondsField, serializer_of
from heliograph.api.row_pages import RowParameters
from heliograph.datasets.models import Dataset
from heliograph.evals.models.online import MAX_FILTER_CHARACTERS


class DimensionBody(serializers.Serializer[Any]):
    """One score that is asked for: bounds are of a number, options of a category."""

    name = serializers.CharField(max_length=100)
    kind = serializers.ChoiceField([kind.value for kind in Kind])
    low = serializers.FloatField(required=False, allow_null=True, default=None)
    high = serializers.FloatField(required=False, allow_null=True, default=None)
    options = serializers.ListField(child=serializers.CharField(max_length=60), required=False, default=list)
    is_ordered = serializers.BooleanField(required=False, default=False)
    is_optional = serializers.BooleanField(required=False, default=False)


class QueueBody(serializers.ModelSerializer[Queue]):
    """A queue. `rubric` is fixed once somebody has annotated."""

    rubric = DimensionBody(many=True)
    dataset = OfProject(queryset=Dataset.objects.all(), required=False, allow_null=True)

    class Meta:
        model = Queue
        fields = (
            *("id", "name", "instructions", "rubric", "annotators_per_item", "lease_minutes", "is_open", "dataset"),
            *("created_at", "finished_at"),
        )
        read_only_fields = ("id", "created_at", "finished_at")


class QueuePage(serializers.Serializer[Any]):
    """Queues, newest first."""

    items = QueueBody(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class QueueDetail(serializers.Serializer[Any]):
    """A queue and how far it is."""

    queue = QueueBody()
    progress = serializer_of(queues.Progress)()


class SlotOut(serializers.ModelSerializer[Slot]):
    """One judgement that is wanted of an item."""

    annotator = serializers.CharField(source="annotator.username", default=None, allow_null=True)
    assignee = serializers.CharField(source="assignee.username", default=None, allow_null=True)

    class Meta:
        model = Slot
        fields = ("id", "number", "status", "annotator", "assignee", "leased_until", "done_at", "version")
        read_only_fields = fields


class ItemOut(serializers.ModelSerializer[Item]):
    """A span to judge, with its judgements."""

    start_time = NanosecondsField(source="start_ns")
    slots = SlotOut(many=True)

    class Meta:
        model = Item
        fields = ("id", "trace_id", "span_id", "start_time", "priority", "slots")
        read_only_fields = fields


class ItemPage(serializers.Serializer[Any]):
    """Items, those that were added last first."""

    items = ItemOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ItemParameters(RowParameters):
    """One page of items, of some people or of nobody."""

    assignee = serializers.CharField(
        required=False, max_length=150, help_text="Items with a judgement that is kept for this person, or was."
    )
    unassigned = serializers.BooleanField(
        default=False, help_text="Only items with an open judgement that is kept for nobody."
    )


class AssignIn(serializers.Serializer[Any]):
    """Which answers are kept for whom: `items`, or a `share` of those with a place that is nobody's."""

    people = serializers.ListField(
        child=serializers.CharField(max_length=150),
        min_length=1,
        max_length=assigning.MAX_PEOPLE,
        help_text="User names of people who may judge answers of the project.",
    )
    items = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, min_length=1, max_length=assigning.MAX_ITEMS
    )
    share = serializers.IntegerField(required=False, min_value=1, max_value=100, help_text="Percent.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Either of the two is given."""
        if ("items" in attrs) == ("share" in attrs):
            raise serializers.ValidationError({"items": ["Give items, or a share."]})
        return attrs


class AssignedOut(serializers.Serializer[Any]):
    """How many judgements each got: fewer than there are items where somebody has them, or where they have skipped."""

    assigned = serializers.DictField(child=serializers.IntegerField())


class UnassignIn(serializers.Serializer[Any]):
    """Whose judgements anybody may have again, of which items; at least one of the two."""

    people = serializers.ListField(
        child=serializers.CharField(max_length=150), required=False, default=list, max_length=assigning.MAX_PEOPLE
    )
    items = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, default=list, max_length=assigning.MAX_ITEMS
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of the two is given."""
        if not attrs["people"] and not attrs["items"]:
            raise serializers.ValidationError({"people": ["Say whose, or of which items."]})
        return attrs


class UnassignedOut(serializers.Serializer[Any]):
    """How many judgements are nobody's now."""

    unassigned = serializers.IntegerField()


class ItemsIn(RangeParameters):
    """Which spans are added: `items`, or those of a time range that a `filter` finds, by a `score` worst first."""

    items = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        default=list,
        max_length=MAX_NAMED,
        help_text="TRACE_ID, which is its root, or TRACE_ID:SPAN_ID.",
    )
    filter = serializers.CharField(
        required=False,
        allow_blank=True,
        default=None,
        allow_null=True,
        max_length=MAX_FILTER_CHARACTERS,
        help_text="In the filter language of the traces page; model calls, unless it names a kind.",
    )
    score = serializers.CharField(required=False, allow_blank=True, default="", max_length=100)
    lowest = serializers.BooleanField(required=False, default=True, help_text="Lowest values of the score first.")
    limit = serializers.IntegerField(min_value=1, max_value=queues.MAX_ADD, default=100)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Either of the two is given."""
        if bool(attrs["items"]) == (attrs["filter"] is not None):
            raise serializers.ValidationError({"items": ["Give items, or a filter."]})
        return attrs


class AddedOut(serializers.Serializer[Any]):
    """How many spans are new in the queue, how many were in it, and what the project does not have."""

    new = serializers.IntegerField()
    known = serializers.IntegerField()
    missing = serializers.ListField(child=serializers.CharField())


class HeldOut(serializers.Serializer[Any]):
    """The slot that is yours for a while, and its item; both null where nothing is left for you."""

    slot = SlotOut(allow_null=True)
    item = ItemOut(allow_null=True)


class AnnotationIn(serializers.Serializer[Any]):
    """What you say: score -> number, true or false, category, or text."""

    values = serializers.DictField(child=serializers.JSONField())
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=5_000)


class SkipIn(serializers.Serializer[Any]):
    """Why it is left to others."""

    reason = serializers.CharField(max_length=500)


class AnnotationOut(serializers.ModelSerializer[Annotation]):
    """The latest version of a judgement."""

    trace_id = serializers.CharField(source="slot.item.trace_id")
    span_id = serializers.CharField(source="slot.item.span_id")
    item = serializers.IntegerField(source="slot.item_id")
    annotator = serializers.CharField(source="author.username", default=None, allow_null=True)

    class Meta:
        model = Annotation
        fields = (
            *("id", "item", "slot", "trace_id", "span_id", "annotator", "version", "values", "comment", "seconds"),
            *("created_at", "dataset", "dataset_version"),
        )
        read_only_fields = fields


class AnnotationPage(serializers.Serializer[Any]):
    """Annotations, newest first."""

    items = AnnotationOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class AgreementOut(serializers.Serializer[Any]):
    """How far annotators agree, score by score."""

    items = serializer_of(agreement.DimensionAgreement)(many=True)


class CorrectionsIn(serializers.Serializer[Any]):
    """Which corrections become rows of which data set: of some annotations, or all that are no row yet."""

    dataset = serializers.IntegerField(required=False, help_text="The queue's own without it.")
    annotations = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, default=list, max_length=MAX_MOVED
    )


class CorrectionsOut(serializers.Serializer[Any]):
    """How many corrections are rows; `version` is null where nothing is new."""

    rows = serializers.IntegerField()
    dataset = serializers.IntegerField()
    version = serializers.IntegerField(allow_null=True)
    refused = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))


class CalibrationIn(serializers.Serializer[Any]):
    """What is compared; `positive` are the categories that mean yes, or [cut] of a number."""

    dimension = serializers.CharField(max_length=100)
    positive = serializers.ListField(child=serializers.JSONField(), required=False, default=list, max_length=20)
    score = serializers.CharField(max_length=100)
    higher_is_positive = serializers.BooleanField(required=False, default=True)
    criterion = serializers.ChoiceField(CRITERIA, required=False, default="balanced_accuracy")


class CalibrationOut(serializers.ModelSerializer[Calibration]):
    """An evaluator's scores against labels; `result` has the figures with their intervals, `applied` what was set."""

    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    applied_by = serializers.CharField(source="applied_by.username", default=None, allow_null=True)

    class Meta:
        model = Calibration
        fields = (
            *("id", "queue", "dimension", "positive", "score", "higher_is_positive", "criterion", "result", "rule"),
            *("created_by", "created_at", "applied", "before", "applied_by", "applied_at", "reverted_at"),
        )
        read_only_fields = fields


class CalibrationPage(serializers.Serializer[Any]):
    """Calibrations, newest first."""

    items = CalibrationOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ApplyIn(serializers.Serializer[Any]):
    """What is put into the evaluator's rule."""

    threshold = serializers.BooleanField(default=False)
    curve = serializers.BooleanField(default=False)
