"""Data sets and experiments as pages: from a file, from a trace, through a run, side by side."""

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from heliograph.accounts.models import Membership, Project
from heliograph.datasets import tasks
from heliograph.datasets.models import Dataset, Endpoint, Experiment, Row
from tests.dashboards.conftest import Signed
from tests.datasets.conftest import a_run, put, row
from tests.datasets.test_running import echo
from tests.net.servers import serving
from tests.query.rows import llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
CSV = b"question,answer,id\nquestion 1,answer 1,1\n,answer 2,2\nquestion 3,answer 3,3\n"


@pytest.fixture
def dataset(project: Project) -> Dataset:
    return Dataset.objects.create(project=project, name="Refunds")


def address(project: Project, name: str, *ids: Any) -> str:
    return reverse(name, args=[project.slug, *ids])


def page(reader: Client, project: Project, name: str, *ids: Any, **query: Any) -> str:
    answer = reader.get(address(project, name, *ids), query)
    assert answer.status_code == 200, answer.content.decode()
    return answer.content.decode()


def post(reader: Client, project: Project, name: str, /, *ids: Any, **form: Any) -> Any:
    return reader.post(address(project, name, *ids), form)


def test_a_file_is_looked_at_mapped_and_kept(reader: Client, project: Project) -> None:
    assert "No data set yet" in page(reader, project, "datasets")
    post(reader, project, "datasets-create", name="Refunds", description="From the help desk")
    dataset = Dataset.objects.get()
    assert "No rows yet" in page(reader, project, "dataset", dataset.pk)
    sent = post(reader, project, "datasets-upload", dataset.pk, file=SimpleUploadedFile("rows.csv", CSV))
    shown = reader.get(sent.url).content.decode()
    assert "1 row cannot be kept" in shown.replace("</span>", "").replace('<span class="nowrap" title="1">', "")
    assert re.search(r'<option value="input" selected>input</option>', shown)
    # Nothing is kept without the word to leave rows out.
    assert reader.post(sent.url.replace("/files/", "/keep/")).status_code == 422
    assert not Row.objects.exists()
    mapped = (
        f"{sent.url}&column=question&as=expected&column=answer&as=input&column=id&as=id&splits=train%3D1%2Ctest%3D1"
    )
    assert reader.post(mapped.replace("/files/", "/keep/")).status_code == 302
    rows = {each.key: (each.content.input, each.content.expected) for each in Row.objects.all()}
    assert rows == {"1": ("answer 1", "question 1"), "2": ("answer 2", None), "3": ("answer 3", "question 3")}
    shown = page(reader, project, "dataset", dataset.pk, split="test")
    assert "rows.csv" in shown
    assert len(re.findall(r"answer \d</div>", shown)) == dataset.versions.get().splits["test"]
    file = reader.get(address(project, "datasets-download", dataset.pk, 1) + "?kind=csv")
    assert b"".join(file.streaming_content).count(b"\n") == 4


def test_a_file_that_is_none_or_too_large_says_so(
    reader: Client, project: Project, dataset: Dataset, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = post(reader, project, "datasets-upload", dataset.pk, file=SimpleUploadedFile("x.exe", b"MZ"))
    assert "must end in" in reader.get(sent.url).content.decode()
    monkeypatch.setattr("heliograph.dashboards.uploads.MAX_UPLOAD_BYTES", 10)
    refused = post(reader, project, "datasets-upload", dataset.pk, file=SimpleUploadedFile("x.csv", CSV))
    assert refused.status_code in (400, 413)


def test_a_span_is_added_by_its_button_and_leads_back(reader: Client, project: Project) -> None:
    trace_id = new_trace_id()
    call = llm(trace_id, 1, input="Where is it?", output="Here.")
    store_spans(project.pk, span(trace_id, 0), call)
    trace = f"{address(project, 'trace', trace_id)}?span={call['span_id']}"
    shown = reader.get(trace).content.decode()
    [form] = re.findall(r'hx-get="([^"]+/datasets/[^"]+item=[^"]+:[^"]+)"', shown)
    item, following = re.findall(r'name="(?:item|next)" value="([^"]+)"', reader.get(form).content.decode())
    added = post(reader, project, "datasets-add", item=item, next=following, new_name="From production")
    assert added.url == trace
    made = Row.objects.get()
    assert (made.content.input, made.content.expected, made.trace_id) == ("Where is it?", "Here.", trace_id)
    post(reader, project, "datasets-add", item=[item, "0" * 32], dataset=made.dataset_id, next="https://evil.example/")
    assert Row.objects.count() == 1
    assert "0" * 32 in page(reader, project, "dataset", made.dataset_id)
    assert "Where is it?" in page(reader, project, "datasets-row", made.dataset_id, made.pk)


def test_a_run_is_started_followed_and_compared(
    reader: Client, project: Project, dataset: Dataset, settings: Settings
) -> None:
    settings.OUTGOING_NETWORKS = ("127.0.0.0/8",)
    put(dataset, *(row(str(number)) for number in range(6)))
    assert "Add an endpoint below first" in page(reader, project, "experiments")
    with serving(echo) as server:
        post(reader, project, "experiments-endpoint-add", name="local", base_url=f"{server.url}/v1", key="sk-hidden")
        assert "sk-hidden" not in page(reader, project, "experiments")
        form = {"dataset": dataset.pk, "name": "prompt 7", "endpoint": Endpoint.objects.get().pk, "model": "m"}
        form |= {"template": "{{input}}", "concurrency": 4, "rate_per_minute": 0, "evaluators": ["exact_match"]}
        refused = post(reader, project, "experiments-start", **form | {"concurrency": 100})
        assert (refused.status_code, "from 1 to 64" in refused.content.decode()) == (422, True)
        started = post(reader, project, "experiments-start", **form)
        run = Experiment.objects.get()
        assert started.url == address(project, "experiment", run.pk)
        assert 'hx-trigger="every 2s"' in page(reader, project, "experiment", run.pk)
        for _ in range(5):
            tasks.work_off()
    fragment = reader.get(started.url, headers={"hx-request": "true"}).content.decode()
    assert ("every 2s" in fragment, "<html" in fragment, "exact_match" in fragment) == (False, False, True)
    assert "answer 3" in page(reader, project, "experiment", run.pk, score="exact_match")
    result = run.results.get(key="3")
    assert "prompt 7" in reader.get(address(project, "trace", result.trace_id)).content.decode()
    other = a_run(dataset, [1.0, 1.0, 0.0, 1.0, 1.0, 1.0], name="worse one")
    compared = page(reader, project, "experiments-compare", run=[run.pk, other.pk])
    assert "A worker computes the interval" in compared
    assert re.findall(r'<td class="key" title="(\w+)">', compared)[0] == "2"
    assert "flip" in compared
    tasks.work_off()
    assert "1</span> of" in page(reader, project, "experiments-compare", run=[run.pk, other.pk])


def test_versions_show_what_they_differ_by(reader: Client, project: Project, dataset: Dataset) -> None:
    put(dataset, row("a"), row("b"))
    put(dataset, row("a", "mended"), row("c"), removed_keys=["b"])
    shown = page(reader, project, "datasets-diff", dataset.pk)
    assert [re.search(rf">{kind}</span>", shown) is not None for kind in ("added", "changed", "removed")] == [True] * 3
    assert ("question a" in shown, "mended" in shown) == (True, True)
    assert "the same rows" in page(reader, project, "datasets-diff", dataset.pk, old=2)
    post(reader, project, "datasets-split", dataset.pk, splits="train=1", seed="1")
    assert dataset.versions.get(number=3).splits == {"train": 2}
    post(reader, project, "datasets-delete", dataset.pk, name="refunds")
    assert Dataset.objects.exists()
    post(reader, project, "datasets-delete", dataset.pk, name="Refunds")
    assert not Dataset.objects.exists()


def test_another_projects_data_sets_and_runs_are_nobodys(reader: Client, project: Project) -> None:
    other = Project.objects.create(
        id=project.pk + 2**31, organization=project.organization, name="Other", slug=f"other-{project.pk}"
    )
    theirs = Dataset.objects.create(project=other, name="theirs")
    put(theirs, row("a"))
    run, item = a_run(theirs, [1.0]), Row.objects.get()
    endpoint = Endpoint.objects.create(project=other, name="e", base_url="http://127.0.0.1:1/v1")
    for name, ids in (
        ("dataset", [theirs.pk]),
        ("datasets-row", [theirs.pk, item.pk]),
        ("datasets-diff", [theirs.pk]),
        ("datasets-download", [theirs.pk, 1]),
        ("experiment", [run.pk]),
    ):
        assert reader.get(address(project, name, *ids)).status_code == 404, name
    assert reader.get(address(project, "experiments-compare"), {"run": run.pk}).status_code == 404
    for name, ids in (
        *((name, [theirs.pk]) for name in ("datasets-split", "datasets-delete", "datasets-upload")),
        *((f"experiments-{deed}", [run.pk]) for deed in ("cancel", "retry", "delete")),
        ("experiments-endpoint-remove", [endpoint.pk]),
    ):
        assert post(reader, project, name, *ids).status_code == 404, name
    assert post(reader, project, "datasets-add", item="0" * 32, dataset=theirs.pk).status_code == 404
    assert "theirs" not in page(reader, project, "datasets") + page(reader, project, "experiments")


def test_a_viewer_reads_and_changes_nothing(signed_in: Signed, project: Project, dataset: Dataset) -> None:
    put(dataset, row("a"))
    viewer = signed_in(Membership.Role.VIEWER)
    assert "question a" in page(viewer, project, "dataset", dataset.pk)
    for name, ids in (
        ("datasets-create", []),
        ("datasets-split", [dataset.pk]),
        ("datasets-add", []),
        ("experiments-start", []),
    ):
        assert post(viewer, project, name, *ids, name="x", splits="a=1").status_code == 403
    assert Dataset.objects.count() == 1
