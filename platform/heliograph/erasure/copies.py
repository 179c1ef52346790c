"""What the metadata database has of some traces: rows of data sets, their results, items to annotate, pins."""

import uuid
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum

from heliograph.annotation.models import Item
from heliograph.datasets.models import Content, Dataset, Result, Row
from heliograph.evals.models import SetAside
from heliograph.rules.models import PinnedTrace

ERASED = "erased at a person's request"


def _rows(project_id: int, traces: Sequence[str]) -> Q:
    return Q(dataset__project=project_id, trace_id__in=traces)


def items_of(project_id: int, traces: Sequence[str]) -> list[str]:
    """Return rows of data sets that were copied from some traces, as scores name them."""
    return sorted({row.item_id for row in Row.objects.filter(_rows(project_id, traces))})


def count(project_id: int, traces: Sequence[str]) -> dict[str, int]:
    """Return how much there is of some traces."""
    rows = Row.objects.filter(_rows(project_id, traces))
    return {
        "dataset_rows": rows.count(),
        "experiment_results": _results(project_id, traces).count(),
        "annotation_items": Item.objects.filter(queue__project=project_id, trace_id__in=traces).count(),
        "set_aside_spans": SetAside.objects.filter(rule__project=project_id, trace_id__in=traces).count(),
        "pins": PinnedTrace.objects.filter(project=project_id, trace_id__in=traces).count(),
    }


def _results(project_id: int, traces: Sequence[str]) -> QuerySet[Result]:
    of_rows = Row.objects.filter(_rows(project_id, traces)).values("pk")
    return Result.objects.filter(Q(experiment__project=project_id) & (Q(row__in=of_rows) | Q(trace_id__in=traces)))


@transaction.atomic
def remove(project_id: int, traces: Sequence[str]) -> None:
    """Take it out. Versions of a data set keep their rows, as places with nothing in them. May be called again."""
    _results(project_id, traces).update(output=None, error=ERASED, scores={}, call={}, trace_id="", span_id="")
    for dataset in Dataset.objects.filter(project=project_id, rows__trace_id__in=traces).distinct():
        rows = dataset.rows.filter(trace_id__in=traces)
        had = set(rows.values_list("content", flat=True))
        emptied, _ = Content.objects.get_or_create(
            id=uuid.uuid5(uuid.NAMESPACE_URL, f"{ERASED} {dataset.pk}"),
            defaults={"dataset": dataset, "input": ERASED, "size": len(ERASED) + 2},
        )
        rows.update(content=emptied, trace_id="", span_id="")
        unused = Content.objects.filter(dataset=dataset, pk__in=had - {emptied.pk}).exclude(
            Exists(Row.objects.filter(content=OuterRef("pk")))
        )
        freed = unused.aggregate(bytes=Sum("size"))["bytes"] or 0
        unused.delete()
        Dataset.objects.filter(pk=dataset.pk).update(stored_bytes=F("stored_bytes") - freed)
    Item.objects.filter(queue__project=project_id, trace_id__in=traces).delete()
    SetAside.objects.filter(rule__project=project_id, trace_id__in=traces).delete()
    PinnedTrace.objects.filter(project=project_id, trace_id__in=traces).delete()
