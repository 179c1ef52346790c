"""Engines against kinds of documents: pages, measured error rates, and the price of a page that was read."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from heliograph.accounts.models import ApiKey, Membership, Project, User
from heliograph.clickhouse import client
from heliograph.query.filters import InvalidFilterError
from heliograph.query.ocr import Cell, grid
from tests.query.rows import HOUR, llm, new_trace_id, span, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
IMAGE = '[{"role":"user","parts":[{"type":"text","content":"Read"},{"type":"blob","modality":"image","content":"x"}]}]'
TWO = IMAGE.replace('},{"type":"blob"', '},{"type":"uri","modality" : "image","uri":"u"},{"type":"blob"')


def score(row: dict[str, Any], value: float | None, name: str = "cer", **fields: Any) -> dict[str, Any]:
    return {
        "score_id": f"{row['span_id']}-{name}",
        "trace_id": row["trace_id"],
        "span_id": row["span_id"],
        "time": row["start_time"],
        "name": name,
        "value": value,
        "evaluator": "",
        "evaluator_arguments": "",
        "retention_days": 90,
    } | fields


def vision(seconds: float, cer: float | None, **fields: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A model that is shown an image of a receipt, and how well it read it."""
    kind = {"attributes": {"ocr.document.kind": "receipt"}, "input": IMAGE, "cost": Decimal("0.002")}
    row = llm(new_trace_id(), seconds, **({"model_requested": "gpt-4o"} | kind | fields))
    return row, [score(row, cer)] if cer is not None else []


@pytest.fixture
def read(project_id: int) -> int:
    readings = [
        vision(1, 0.02),
        vision(2, 0.04),
        vision(3, 0.60),  # read, but wrongly
        vision(4, None, status="error"),
        vision(5, None, input=TWO),  # nobody judged it
    ]
    tesseract = span(
        new_trace_id(),
        6,
        kind="tool",
        model_requested="",
        attributes={"ocr.engine": "tesseract", "ocr.document.kind": "form", "ocr.pages": "4"},
        duration_ns=8 * 10**9,
    )
    scores = [each for _, found in readings for each in found]
    scores.append(score(tesseract, 0.2, "transcription", evaluator="ocr", evaluator_arguments='{"metric": "cer"}'))
    scores.append(score(tesseract, 0.5, "wer"))
    scores.append(score(tesseract, 0.9, "anything", evaluator="other"))
    plain = llm(new_trace_id(), 7, input='[{"role":"user","parts":[]}]', model_requested="gpt-4o")
    store_spans(project_id, *(row for row, _ in readings), tesseract, plain)
    store_rows(project_id, "scores", scores)
    return project_id


def cells(project_id: int, **options: Any) -> dict[tuple[str, str], Cell]:
    return {(cell.engine, cell.kind): cell for cell in grid(project_id, HOUR, **options).cells}


def test_models_that_were_shown_images_and_engines_by_name_stand_side_by_side(read: int) -> None:
    found = grid(read, HOUR)
    assert (found.engines, found.kinds) == (("gpt-4o", "tesseract"), ("form", "receipt"))
    model, engine = cells(read)["gpt-4o", "receipt"], cells(read)["tesseract", "form"]
    assert (model.readings, model.failed, model.pages, model.judged) == (5, 1, 6, 3)
    assert model.mean_cer == pytest.approx(0.22)
    assert (engine.pages, engine.mean_cer, engine.mean_wer, engine.judged) == (4, 0.2, 0.5, 1)
    assert engine.page_ns == pytest.approx(2 * 10**9)


def test_the_price_is_that_of_a_page_that_was_read(read: int) -> None:
    model = cells(read)["gpt-4o", "receipt"]
    # Of six pages four were read: two well, and the two that nobody judged.
    assert (model.good, model.good_pages) == (3, 4)
    assert model.cost_per_good_page == Decimal("0.0025")
    strict = cells(read, max_cer=0.03)["gpt-4o", "receipt"]
    assert (strict.good_pages, strict.cost_per_good_page) == (3, Decimal("0.003333333333"))


def test_an_engine_without_a_price_has_an_unknown_one(read: int) -> None:
    engine = cells(read)["tesseract", "form"]
    assert (engine.cost, engine.cost_per_good_page, engine.unpriced) == (None, None, 1)


def test_another_model_than_asked_for_is_counted(project_id: int) -> None:
    row, _ = vision(1, None, model="gemini-2.5-flash", model_requested="gemini-3-flash")
    store_spans(project_id, row)
    [cell] = grid(project_id, HOUR).cells
    assert (cell.engine, cell.renamed) == ("gemini-2.5-flash", 1)


def test_every_way_of_saying_that_a_page_was_read_counts_once_as_a_plain_count_over_the_spans_says(
    project_id: int,
) -> None:
    no_image = '[{"role":"user","parts":[{"type":"text","content":"which modality?"}]}]'
    rows = [
        llm(new_trace_id(), 1, input=IMAGE),
        llm(new_trace_id(), 2, input=TWO, attributes={"ocr.engine": "qwen-vl"}),
        llm(new_trace_id(), 3, input=IMAGE, attributes={"ocr.engine": ""}),
        llm(new_trace_id(), 4, input=no_image),
        llm(new_trace_id(), 5, input=no_image, attributes={"ocr.pages": "3"}),
        llm(new_trace_id(), 6, input=IMAGE, attributes={"ocr.pages": "0"}),
        llm(new_trace_id(), 7, input=IMAGE, usage_counted=False),
        span(new_trace_id(), 8, kind="tool", input=IMAGE),
        span(new_trace_id(), 9, kind="tool", attributes={"ocr.engine": "tesseract"}),
    ]
    store_spans(project_id, *rows)
    raw = """
        SELECT count() AS readings, sum(pages) AS pages FROM (
            SELECT coalesce(toUInt32OrNull(attributes['ocr.pages']),
                toUInt32(countMatches(input, '"modality"\\s*:\\s*"image"'))) AS pages
            FROM spans WHERE project_id = %(project)s
                AND (attributes['ocr.engine'] != '' OR (kind = 'llm' AND usage_counted AND pages > 0))
        )"""
    [counted] = client.execute_unscoped(raw, {"project": project_id})
    assert counted == {"readings": 5, "pages": 7}
    totals = grid(project_id, HOUR).totals
    assert {"readings": sum(one.readings for one in totals), "pages": sum(one.pages for one in totals)} == counted


def test_a_bound_that_is_no_error_rate_is_refused(project_id: int) -> None:
    with pytest.raises(InvalidFilterError):
        grid(project_id, HOUR, max_cer=-1)
    assert grid(project_id, HOUR).cells == ()


@pytest.mark.django_db
def test_the_api_and_the_page_show_the_grid(project: Project, settings: Any) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
    row, scores = vision(1, 0.04)
    store_spans(project.pk, row)
    store_rows(project.pk, "scores", scores)
    hour = {"start": HOUR.start.isoformat(), "end": HOUR.end.isoformat()}
    sender = Client(headers={"x-api-key": ApiKey.issue(project, "test")[1]})
    body = json.loads(sender.get("/api/v1/ocr/grid", hour).content)
    assert body["cells"][0]["mean_cer"] == pytest.approx(0.04)
    reader = Client()
    user = User.objects.create(username="reader")
    Membership.objects.create(organization=project.organization, user=user)
    reader.force_login(user)
    page = reader.get(f"/p/{project.slug}/documents", {"from": hour["start"], "to": hour["end"]}).content.decode()
    assert "0.04" in page
    assert "receipt" in page
    assert "No document was read" in reader.get(f"/p/{project.slug}/documents?range=1h").content.decode()
    assert "cannot be used" in reader.get(f"/p/{project.slug}/documents?max_cer=x").content.decode()
