"""Experiments as people and programs start, feed, end and repeat them. What a worker does is in `slices`.

Every way in checks what it is given and leaves the database in a state from which a worker goes on by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from heliograph.accounts.models import Project, User
from heliograph.datasets import queue
from heliograph.datasets.chunks import chunks
from heliograph.datasets.evaluators import checked
from heliograph.datasets.models import Dataset, DatasetVersion, Experiment, Result, Row
from heliograph.datasets.targets import Target

# One person who clicks in anger must not fill the queue.
MAX_OPEN = 50
# Lists and comparisons stay quick; a year of one run a night of three systems.
MAX_EXPERIMENTS = 10_000
MAX_METADATA = 50
MAX_METADATA_CHARACTERS = 500
# A model's longest answer is some hundred kilobytes as JSON.
MAX_OUTPUT_BYTES = 2**20
# What one request brings; each is a row of the database.
MAX_RESULTS = 1_000


class CannotStartError(ValueError):
    """An experiment that cannot begin, or cannot do what is asked of it now; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An experiment as it is asked for."""

    dataset: Dataset
    name: str
    kind: str
    version: int = 0
    split: str = ""
    target: Mapping[str, Any] = field(default_factory=dict)
    evaluators: Sequence[Any] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    # Go on with one of the same name, rows and kind that has not ended.
    resume: bool = False


def start(project: Project, plan: Plan, author: User | None = None) -> Experiment:
    """Begin an experiment, or find the one to go on with.

    Raises CannotStartError, InvalidEvaluatorError, InvalidTargetError.
    """
    version = plan.dataset.versions.filter(number=plan.version or plan.dataset.latest).first()
    if version is None:
        raise CannotStartError("The data set has no such version; a data set without rows has none.")
    rows = version.splits.get(plan.split, 0) if plan.split else version.rows
    if not rows:
        raise CannotStartError(
            f"Version {version.number} has no rows{f' in the split {plan.split}' if plan.split else ''}."
        )
    metadata = {str(name): str(value) for name, value in plan.metadata.items() if value not in (None, "")}
    if len(metadata) > MAX_METADATA or any(len(text) > MAX_METADATA_CHARACTERS for text in metadata.values()):
        raise CannotStartError(f"Metadata are at most {MAX_METADATA} texts of {MAX_METADATA_CHARACTERS} characters.")
    evaluators = checked(project.pk, plan.evaluators)
    target = Target.of(project.pk, plan.target).as_dict() if plan.kind == Experiment.Kind.ENDPOINT else {}
    with transaction.atomic():
        # Two that go on with one of a name at once shall find the same.
        Dataset.objects.select_for_update().get(pk=plan.dataset.pk)
        if plan.resume and (found := _to_resume(plan, version)):
            return found
        _check_room(project)
        experiment = Experiment.objects.create(
            project=project,
            dataset=plan.dataset,
            version=version.number,
            split=plan.split,
            name=plan.name,
            kind=plan.kind,
            target=target,
            evaluators=evaluators,
            metadata=metadata,
            rows=rows,
            requested_by=author,
        )
        transaction.on_commit(queue.wake_worker)
    return experiment


def _to_resume(plan: Plan, version: DatasetVersion) -> Experiment | None:
    same = Experiment.objects.filter(
        dataset=plan.dataset, version=version.number, split=plan.split, name=plan.name, kind=plan.kind
    )
    return same.filter(status__in=(Experiment.Status.QUEUED, Experiment.Status.RUNNING)).first()


def _check_room(project: Project) -> None:
    known = Experiment.objects.filter(project=project)
    if known.filter(status__in=Experiment.OPEN).count() >= MAX_OPEN:
        raise CannotStartError(f"{MAX_OPEN} experiments are open already: cancel those that nobody waits for.")
    if known.count() >= MAX_EXPERIMENTS:
        raise CannotStartError(f"The project has {MAX_EXPERIMENTS:,} experiments: delete those that nobody needs.")


def pending(experiment: Experiment, *, after: int = 0, limit: int = 100) -> list[Row]:
    """Return rows behind a place that have no result yet."""
    found: list[Row] = []
    while len(found) < limit:
        rows = list(experiment.item_rows.filter(position__gt=after)[:500])
        if not rows:
            break
        after = rows[-1].position
        known = set(experiment.results.filter(row__in=rows).values_list("row", flat=True))
        found += [row for row in rows if row.pk not in known]
    return found[:limit]


def store(experiment: Experiment, results: Sequence[Result]) -> int:
    """Keep results of rows that have none yet; return how many were new."""
    with transaction.atomic():
        # Two senders of one row wait for each other here; the constraint stands behind that.
        Experiment.objects.select_for_update().get(pk=experiment.pk)
        known = set(experiment.results.filter(row__in=[each.row_id for each in results]).values_list("row", flat=True))
        new = {each.row_id: each for each in results if each.row_id not in known}
        for part in chunks(new.values(), 500):
            Result.objects.bulk_create(part)
        counts = {
            "done": len(new),
            "failed": sum(each.status == Result.Status.ERROR for each in new.values()),
            "scored": sum(each.is_scored for each in new.values()),
        }
        added = {name: models.F(name) + count for name, count in counts.items()}
        Experiment.objects.filter(pk=experiment.pk).update(**added)
    experiment.refresh_from_db(fields=list(counts))
    return len(new)


def recount(experiment: Experiment) -> None:
    """Write down how many rows are answered, failed and scored."""
    counts = experiment.results.aggregate(
        done=models.Count("pk"),
        failed=models.Count("pk", filter=models.Q(status=Result.Status.ERROR)),
        scored=models.Count("pk", filter=models.Q(is_scored=True)),
    )
    Experiment.objects.filter(pk=experiment.pk).update(**counts)
    experiment.refresh_from_db(fields=list(counts))


def begin(experiment: Experiment) -> None:
    """Note that the first row is under way."""
    first = Experiment.objects.filter(pk=experiment.pk, status=Experiment.Status.QUEUED)
    first.update(status=Experiment.Status.RUNNING, started_at=timezone.now())


def finish(experiment: Experiment) -> None:
    """Let the evaluators judge what the user's function sent; raises CannotStartError where rows are missing."""
    if experiment.kind != Experiment.Kind.FUNCTION:
        raise CannotStartError("An experiment with an endpoint ends by itself.")
    recount(experiment)
    if experiment.done < experiment.rows:
        raise CannotStartError(
            f"{experiment.rows - experiment.done:,} rows have no result yet; cancel it to end it now."
        )
    open_ = Experiment.objects.filter(
        pk=experiment.pk, status__in=(Experiment.Status.QUEUED, Experiment.Status.RUNNING)
    )
    open_.update(status=Experiment.Status.SCORING)
    experiment.refresh_from_db()
    queue.wake_worker()


def cancel(experiment: Experiment) -> None:
    """Have it end after the rows under way; its results stay."""
    Experiment.objects.filter(pk=experiment.pk, status__in=Experiment.OPEN).update(cancel_requested=True)
    queue.wake_worker()


def retry_failed(experiment: Experiment) -> int:
    """Ask the rows again that ended with an error, and judge what is not judged; return how many are asked.

    Raises CannotStartError while it is open.
    """
    if experiment.is_open:
        raise CannotStartError("It has not ended yet.")
    with transaction.atomic():
        experiment.results.filter(status=Result.Status.ERROR).delete()
        missing = experiment.rows - experiment.results.count()
        # A judge that could not be asked leaves answers that wait for it.
        status = Experiment.Status.QUEUED if missing else Experiment.Status.SCORING
        if missing or experiment.results.filter(is_scored=False).exists():
            Experiment.objects.filter(pk=experiment.pk).update(
                status=status, error="", cancel_requested=False, finished_at=None, lost=0
            )
            recount(experiment)
    experiment.refresh_from_db()
    queue.wake_worker()
    return missing
