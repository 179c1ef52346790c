"""A data set of the test's own, and the cast of rows that most tests use."""

from collections.abc import Sequence
from typing import Any

import pytest

from heliograph.accounts.models import Project
from heliograph.datasets import versions
from heliograph.datasets.content import RowContent
from heliograph.datasets.models import Dataset, DatasetVersion, Experiment, Result

API = DatasetVersion.Source.API


@pytest.fixture
def dataset(project: Project) -> Dataset:
    return Dataset.objects.create(project=project, name="refunds")


def row(key: str, text: str = "", **fields: Any) -> RowContent:
    return RowContent(key=key, input=text or f"question {key}", **{"expected": f"answer {key}"} | fields)


def put(dataset: Dataset, *rows: RowContent, **options: Any) -> DatasetVersion:
    version = versions.change(dataset, rows, **{"source": API} | options)
    assert version is not None
    return version


def a_run(dataset: Dataset, values: Sequence[float | None], score: str = "exact_match", **fields: Any) -> Experiment:
    """Return a run that is done, with one result a row in the rows' order."""
    fields = {"version": dataset.latest, "name": "run", "kind": "function", "status": "done"} | fields
    run = Experiment.objects.create(project=dataset.project, dataset=dataset, **fields)
    for item, value in zip(run.item_rows, values, strict=True):
        scores = {score: {"value": value, "label": "", "explanation": ""}}
        Result.objects.create(
            experiment=run,
            row=item,
            key=item.key,
            position=item.position,
            content_id=item.content_id,
            status="ok",
            output=f"output {item.key}",
            scores=scores,
            is_scored=True,
        )
    run.rows = run.done = len(values)
    run.summary = {score: {"mean": 0.0, "scored": len(values), "unscored": 0}}
    run.save()
    return run
