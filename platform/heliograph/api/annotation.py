"""Annotation queues, what people said in them, and what became of it."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import ANNOTATING, EDITING, READING
from heliograph.accounts.models import User
from heliograph.annotation import agreement, assigning, choosing, leases, queues, rubric, saving
from heliograph.annotation.answers import latest
from heliograph.annotation.corrections import MAX_MOVED, corrections, to_dataset
from heliograph.annotation.judgement import InvalidAnswerError
from heliograph.annotation.models import Queue, Slot
from heliograph.api.annotation_shapes import (
    AddedOut,
    AgreementOut,
    AnnotationIn,
    AnnotationOut,
    AnnotationPage,
    AssignedOut,
    AssignIn,
    CorrectionsIn,
    CorrectionsOut,
    HeldOut,
    ItemPage,
    ItemParameters,
    ItemsIn,
    QueueBody,
    QueueDetail,
    QueuePage,
    SkipIn,
    SlotOut,
    UnassignedOut,
    UnassignIn,
)
from heliograph.api.dataset_shapes import changed
from heliograph.api.datasets import given_in, person, the_dataset
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.row_pages import RowParameters, row_page
from heliograph.datasets.from_traces import parse_items
from heliograph.query import annotated, language


class Conflict(APIException):
    """What was asked cannot be done as things stand."""

    status_code = 409


def the_queue(request: Request, queue_id: int) -> Queue:
    """Return a queue of the project; 404 for any other."""
    return get_object_or_404(
        Queue.objects.select_related("project", "dataset"), project=project_of(request), pk=queue_id
    )


def _put(queue: Queue, given: dict[str, Any]) -> Queue:
    for name, value in given.items():
        if name == "rubric":
            try:
                value = rubric.as_json(rubric.read_json(value))  # noqa: PLW2901  # as it is stored
            except rubric.InvalidRubricError as error:
                raise ValidationError({"rubric": [str(error)]}) from error
        setattr(queue, name, value)
    if faults := queues.check(queue):
        raise ValidationError({field: [text] for field, text in faults.items()})
    queue.save()
    return queue


class QueuesView(APIView):
    """Queues of a project."""

    needs = EDITING

    @extend_schema(operation_id="list_annotation_queues", parameters=[RowParameters], responses=answers(QueuePage))
    def get(self, request: Request) -> Response:
        """List queues, newest first."""
        page = row_page(Queue.objects.filter(project=project_of(request)), read(RowParameters, request).validated_data)
        return Response(QueuePage(page).data)

    @extend_schema(operation_id="add_annotation_queue", request=QueueBody, responses=answers(QueueBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add a queue without items."""
        queue = _put(
            Queue(project=project_of(request), created_by=person(request)),
            given_in(QueueBody, request, context={"project": project_of(request)}),
        )
        return Response(QueueBody(queue).data, status=201)


class QueueView(APIView):
    """One queue."""

    needs = EDITING

    @extend_schema(operation_id="get_annotation_queue", responses=answers(QueueDetail, 404))
    def get(self, request: Request, queue_id: int) -> Response:
        """Return a queue and how far it is."""
        queue = the_queue(request, queue_id)
        return Response(QueueDetail({"queue": queue, "progress": queues.progress(queue)}).data)

    @extend_schema(operation_id="change_annotation_queue", request=QueueBody, responses=answers(QueueBody, 403, 404))
    def patch(self, request: Request, queue_id: int) -> Response:
        """Change a queue; what is not named stays. What was said stays too."""
        queue = _put(
            the_queue(request, queue_id),
            given_in(QueueBody, request, partial=True, context={"project": project_of(request)}),
        )
        queues.change_places(queue)
        return Response(QueueBody(queue).data)

    @extend_schema(operation_id="remove_annotation_queue", responses=answers(None, 403, 404, good=204))
    def delete(self, request: Request, queue_id: int) -> Response:
        """Remove a queue with what was said in it; scores that it gave stay."""
        the_queue(request, queue_id).delete()
        return Response(status=204)


class ItemsView(APIView):
    """Items of a queue."""

    needs = EDITING

    @extend_schema(operation_id="list_annotation_items", parameters=[ItemParameters], responses=answers(ItemPage, 404))
    def get(self, request: Request, queue_id: int) -> Response:
        """List items with their judgements, those that were added last first."""
        given = read(ItemParameters, request).validated_data
        rows = the_queue(request, queue_id).items.prefetch_related("slots__annotator", "slots__assignee")
        if "assignee" in given:
            rows = rows.filter(assigning.of_person(given["assignee"]))
        if given["unassigned"]:
            rows = rows.filter(assigning.of_nobody())
        return Response(ItemPage(row_page(rows, given)).data)

    @extend_schema(
        operation_id="add_annotation_items", request=ItemsIn, responses=answers(AddedOut, 403, 404, good=201)
    )
    def post(self, request: Request, queue_id: int) -> Response:
        """Add spans by their ids, or those that a filter finds; a span is in a queue once."""
        queue = the_queue(request, queue_id)
        asked = ItemsIn(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        missing: list[str] = []
        if given["items"]:
            items = changed(lambda: parse_items(given["items"]))
            found, missing = choosing.named(queue.project_id, items)
        else:
            chosen = language.parse(given["filter"], asked.time_range())
            found = annotated.candidates(
                queue.project_id, chosen, score=given["score"], lowest=given["lowest"], limit=given["limit"]
            )
        try:
            added = queues.add(queue, found)
        except queues.QueueFullError as error:
            raise ValidationError({"items": [str(error)]}) from error
        return Response(AddedOut({"new": added.new, "known": added.known, "missing": missing}).data, status=201)


class ItemView(APIView):
    """One item."""

    needs = EDITING

    @extend_schema(operation_id="remove_annotation_item", responses=answers(None, 403, 404, good=204))
    def delete(self, request: Request, queue_id: int, item_id: int) -> Response:
        """Take an item out, with what was said of it; scores that were written stay."""
        queues.remove(get_object_or_404(the_queue(request, queue_id).items, pk=item_id))
        return Response(status=204)


class AssignView(APIView):
    """Whose answers are to be."""

    needs = EDITING

    @extend_schema(operation_id="assign_annotations", request=AssignIn, responses=answers(AssignedOut, 403, 404))
    def post(self, request: Request, queue_id: int) -> Response:
        """Keep answers for people, dealt out evenly, of each answer one judgement a person at most. They come first
        where these annotate, and go to nobody else."""
        queue = the_queue(request, queue_id)
        given = given_in(AssignIn, request)
        try:
            people = assigning.people_named(queue.project, given["people"])
            got = assigning.assign(queue, people, items=given.get("items"), share=given.get("share", 100))
        except assigning.AssigningError as error:
            raise ValidationError({"people": [str(error)]}) from error
        return Response(AssignedOut({"assigned": {person.username: count for person, count in got.items()}}).data)


class UnassignView(APIView):
    """Answers that are anybody's again."""

    needs = EDITING

    @extend_schema(operation_id="unassign_annotations", request=UnassignIn, responses=answers(UnassignedOut, 403, 404))
    def post(self, request: Request, queue_id: int) -> Response:
        """Let anybody have what is kept for some people, of some items, or both. What is judged stays as it is."""
        queue = the_queue(request, queue_id)
        given = given_in(UnassignIn, request)
        # Whoever has something here, though they may have left the project meanwhile.
        people = User.objects.filter(username__in=given["people"], pk__in=queue.slots.values("assignee"))
        known = {person.username for person in people}
        if unknown := next((name for name in given["people"] if name not in known), None):
            raise ValidationError({"people": [f"Nothing of this queue is kept for {unknown}."]})
        count = assigning.unassign(queue, people=list(people), items=given["items"])
        return Response(UnassignedOut({"unassigned": count}).data)


class NextView(APIView):
    """The next answer for you."""

    needs = ANNOTATING

    @extend_schema(operation_id="claim_annotation", request=None, responses=answers(HeldOut, 403, 404, 409))
    def post(self, request: Request, queue_id: int) -> Response:
        """Take the next slot for the queue's lease; what you have begun comes first."""
        assert isinstance(request.user, User)  # Permitted saw to it: no key annotates
        try:
            slot = leases.claim(the_queue(request, queue_id), request.user)
        except leases.ClosedQueueError as error:
            raise Conflict(str(error)) from error
        return Response(HeldOut({"slot": slot, "item": slot.item if slot else None}).data)


class _SlotView(APIView):
    needs = ANNOTATING

    def slot(self, request: Request, queue_id: int, slot_id: int) -> Slot:
        """Return a slot of a queue of the project."""
        slots = the_queue(request, queue_id).slots.select_related("item", "queue__project")
        return get_object_or_404(slots, pk=slot_id)


class AnnotateView(_SlotView):
    """What you say of an answer."""

    @extend_schema(
        operation_id="annotate", request=AnnotationIn, responses=answers(AnnotationOut, 403, 404, 409, good=201)
    )
    def post(self, request: Request, queue_id: int, slot_id: int) -> Response:
        """Judge the answer of a slot that is yours, or judge it anew; its scores take the place of the earlier ones."""
        assert isinstance(request.user, User)  # Permitted saw to it: no key annotates
        slot = self.slot(request, queue_id, slot_id)
        given = given_in(AnnotationIn, request)
        try:
            annotation = saving.save(slot, request.user, given["values"], given["comment"])
        except InvalidAnswerError as error:
            raise ValidationError({error.name or "values": [error.message]}) from error
        except leases.LostSlotError as error:
            raise Conflict(str(error)) from error
        return Response(AnnotationOut(annotation).data, status=201)


class SkipView(_SlotView):
    """Leaving an answer to others."""

    @extend_schema(operation_id="skip_annotation", request=SkipIn, responses=answers(SlotOut, 403, 404, 409))
    def post(self, request: Request, queue_id: int, slot_id: int) -> Response:
        """Leave it to others, with the reason."""
        assert isinstance(request.user, User)  # Permitted saw to it: no key annotates
        slot = self.slot(request, queue_id, slot_id)
        try:
            leases.skip(slot, request.user, given_in(SkipIn, request)["reason"])
        except leases.LostSlotError as error:
            raise Conflict(str(error)) from error
        slot.refresh_from_db()
        return Response(SlotOut(slot).data)


class AnnotationsView(APIView):
    """What was said in a queue."""

    needs = READING

    @extend_schema(operation_id="list_annotations", parameters=[RowParameters], responses=answers(AnnotationPage, 404))
    def get(self, request: Request, queue_id: int) -> Response:
        """List the latest version of each judgement, newest first."""
        page = row_page(latest(the_queue(request, queue_id)), read(RowParameters, request).validated_data)
        return Response(AnnotationPage(page).data)


class AgreementView(APIView):
    """Agreement of annotators."""

    needs = READING

    @extend_schema(operation_id="get_annotation_agreement", responses=answers(AgreementOut, 404))
    def get(self, request: Request, queue_id: int) -> Response:
        """Return Krippendorff's alpha and Cohen's kappa of each two, with 95 % intervals, by score."""
        return Response(AgreementOut({"items": agreement.agreement(the_queue(request, queue_id))}).data)


class CorrectionsView(APIView):
    """Corrections as rows."""

    needs = EDITING

    @extend_schema(
        operation_id="keep_corrections",
        request=CorrectionsIn,
        responses=answers(CorrectionsOut, 403, 404, good=201),
    )
    def post(self, request: Request, queue_id: int) -> Response:
        """Make corrections rows of a data set, as one version; 200 where nothing is new."""
        queue = the_queue(request, queue_id)
        given = given_in(CorrectionsIn, request)
        dataset = the_dataset(request, given["dataset"]) if "dataset" in given else queue.dataset
        if dataset is None:
            raise ValidationError({"dataset": ["The queue names none: say which."]})
        chosen = corrections(queue, given["annotations"] or None)
        if not given["annotations"]:
            chosen = [each for each in chosen if each.annotation.dataset_id is None][:MAX_MOVED]
        moved = changed(lambda: to_dataset(chosen, dataset, person(request)))
        body = {
            "rows": moved.rows,
            "dataset": dataset.pk,
            "version": moved.version.number if moved.version else None,
            "refused": moved.refused,
        }
        return Response(CorrectionsOut(body).data, status=201 if moved.version else 200)
