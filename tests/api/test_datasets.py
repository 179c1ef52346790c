"""Data sets and experiments over the public API: rows in and out, runs fed and compared, and nobody else's."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heliograph.accounts.models import Membership
from heliograph.datasets import tasks
from heliograph.datasets.models import Dataset, Endpoint, Experiment
from tests.api.test_endpoints import RANGE, Caller, assert_problem, caller, stranger  # noqa: F401  # fixtures
from tests.api.test_redaction import Person
from tests.api.test_sampling import send
from tests.query.rows import llm, new_trace_id, span, store_spans

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
JSON = {"content_type": "application/json"}


def post(who: Caller, path: str, body: Any = None, **options: Any) -> Any:
    return who.client.post(f"/api/v1/{path}", {} if body is None else body, **(JSON | options))


@pytest.fixture
def dataset(caller: Caller) -> int:  # noqa: F811
    return int(post(caller, "datasets", {"name": "refunds"}).json()["id"])


def put(who: Caller, dataset: int, *rows: dict[str, Any], **more: Any) -> Any:
    return post(who, f"datasets/{dataset}/rows", {"rows": list(rows), **more})


def test_rows_are_versions_that_read_again_page_by_page(caller: Caller, dataset: int) -> None:  # noqa: F811
    assert caller.get(f"datasets/{dataset}/rows").json()["items"] == []
    rows = [{"id": str(n), "input": {"q": n}, "expected": [n], "split": "test" if n % 2 else ""} for n in range(5)]
    first = put(caller, dataset, *rows)
    assert (first.status_code, first.json()["rows"], first.json()["splits"]) == (201, 5, {"": 3, "test": 2})
    again = put(caller, dataset, *rows)
    assert (again.status_code, again.json()["number"]) == (200, 1)
    second = put(caller, dataset, {"id": "0", "input": "new"}, remove=["1"], note="mended").json()
    assert (second["number"], second["changed"], second["removed"], second["note"]) == (2, 1, 1, "mended")
    found, cursor = [], {}
    for _ in range(3):
        page = caller.get(f"datasets/{dataset}/rows", version=1, limit=2, **cursor).json()
        found += [(row["id"], row["input"]) for row in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert (found, page["next_cursor"]) == ([(str(n), {"q": n}) for n in range(5)], None)
    diff = caller.get(f"datasets/{dataset}/versions/2/diff").json()["items"]
    assert [(each["kind"], each["id"]) for each in diff] == [("changed", "0"), ("removed", "1")]
    assert [each["number"] for each in caller.get(f"datasets/{dataset}/versions").json()["items"]] == [2, 1]
    assert [row["id"] for row in caller.get(f"datasets/{dataset}/rows", split="test").json()["items"]] == ["3"]
    split = post(caller, f"datasets/{dataset}/split", {"splits": "train=1,dev=1", "seed": 1}).json()
    assert (split["splits"].get("test"), split["changed"], "" in split["splits"]) == (1, 3, False)


def test_a_row_at_fault_is_named_and_nothing_is_kept(caller: Caller, dataset: int) -> None:  # noqa: F811
    refused = put(caller, dataset, {"input": "fine"}, {"input": "x", "id": "a\nb"})
    assert_problem(refused, 400, "rows.1.id")
    assert_problem(put(caller, dataset, {"expected": "no input"}), 400, "rows.0.input")
    assert_problem(post(caller, "datasets", {"name": "refunds"}), 400, "name")
    assert caller.get(f"datasets/{dataset}/versions").json()["items"] == []


def test_a_file_is_previewed_refused_by_row_kept_and_exported(caller: Caller, dataset: int) -> None:  # noqa: F811
    path = f"datasets/{dataset}/import"
    broken = b"question,answer,id\nQ1,A1,1\n,A2,2\n"
    dry = post(caller, f"{path}?dry_run=true", broken, content_type="text/csv").json()
    assert (dry["rows"], dry["fault_count"], dry["version"]) == (1, 1, None)
    assert dry["faults"][0] == {"line": 3, "column": "input", "message": dry["faults"][0]["message"]}
    assert dry["preview"][0]["expected"] == "A1"
    assert post(caller, path, broken, content_type="text/csv").json()["version"] is None
    kept = post(caller, f"{path}?skip_faults=true&splits=train=1", broken, content_type="text/csv")
    assert (kept.status_code, kept.json()["version"]["splits"]) == (201, {"train": 1})
    file = io.BytesIO()
    pq.write_table(pa.table({"q": ["P"], "docs": [["one"]]}), file)
    mapped = post(caller, f"{path}?kind=parquet&input=q&context=docs", file.getvalue(), content_type="x/y").json()
    assert (mapped["preview"][0]["context"], mapped["version"]["number"]) == (["one"], 2)
    assert_problem(post(caller, f"{path}?input=nosuch", broken, content_type="text/csv"), 400, "columns")
    exported = caller.get(f"datasets/{dataset}/versions/2/export", kind="csv")
    lines = b"".join(exported.streaming_content).decode().splitlines()
    assert (lines[0].split(",")[:3], len(lines)) == (["id", "split", "input"], 3)


def test_a_trace_becomes_a_row_that_outlives_it_once(caller: Caller, stranger: Caller, dataset: int) -> None:  # noqa: F811
    trace_id = new_trace_id()
    asked = '[{"role":"user","parts":[{"type":"text","content":"Where is it?"}]}]'
    call = llm(trace_id, 1, input=asked, output="Here.")
    store_spans(caller.project.pk, span(trace_id, 0), call)
    body = {"items": [trace_id, f"{trace_id}:{call['span_id']}", "0" * 32], "split": "dev"}
    made = post(caller, f"datasets/{dataset}/from-traces", body).json()
    assert (made["rows"], [each["item"] for each in made["refused"]]) == (2, ["0" * 32])
    [row] = caller.get(f"datasets/{dataset}/rows").json()["items"]
    assert (row["input"], row["expected"], row["split"], row["trace_id"]) == ("Where is it?", "Here.", "dev", trace_id)
    assert post(caller, f"datasets/{dataset}/from-traces", body).json()["version"] is None
    other = post(caller, "datasets", {"name": "found"}).json()["id"]
    found = post(caller, f"datasets/{other}/from-traces", RANGE | {"filter": 'model:gpt-4o "where"'}).json()
    assert (found["rows"], found["version"]["note"]) == (1, 'model:gpt-4o "where"')
    assert_problem(post(caller, f"datasets/{other}/from-traces", {}), 400, "items")
    theirs = post(stranger, "datasets", {"name": "theirs"}).json()["id"]
    assert post(stranger, f"datasets/{theirs}/from-traces", body).json()["rows"] == 0


def a_run(caller: Caller, **fields: Any) -> Any:  # noqa: F811
    return post(caller, "experiments", {"dataset": "refunds", "name": "run", "kind": "function"} | fields)


def fed(caller: Caller, answers: dict[str, str], **fields: Any) -> int:  # noqa: F811
    run = a_run(caller, evaluators=["exact_match"], **fields).json()
    results = [{"id": key, "output": answer} for key, answer in answers.items()]
    assert post(caller, f"experiments/{run['id']}/results", {"results": results}).status_code == 200
    assert post(caller, f"experiments/{run['id']}/finish").json()["status"] == "scoring"
    tasks.work_off()
    return int(run["id"])


def test_runs_are_fed_judged_listed_and_compared(caller: Caller, dataset: int) -> None:  # noqa: F811
    put(caller, dataset, *({"id": str(n), "input": f"Q{n}", "expected": f"A{n}"} for n in range(6)))
    right = {str(n): f"A{n}" for n in range(6)}
    before = fed(caller, right, metadata={"release": "1"})
    after = fed(caller, right | {"4": "wrong"})
    run = caller.get(f"experiments/{after}").json()
    assert (run["status"], run["percent"], round(run["summary"]["exact_match"]["mean"], 3)) == ("done", 100, 0.833)
    assert [each["id"] for each in caller.get("experiments").json()["items"]] == [after, before]
    [result] = [each for each in caller.get(f"experiments/{after}/results").json()["items"] if each["id"] == "4"]
    assert (result["scores"]["exact_match"]["value"], result["row"]["expected"]) == (0.0, "A4")
    compared = caller.get("experiments/compare", run=[before, after]).json()
    assert (compared["score"], compared["total"], compared["statistics"]) == ("exact_match", 6, [None])
    first = compared["items"][0]
    assert (first["id"], first["is_flip"], first["change"], first["results"][1]["output"]) == ("4", True, -1.0, "wrong")
    tasks.work_off()
    [statistics] = caller.get("experiments/compare", run=[before, after]).json()["statistics"]
    assert (statistics["n"], statistics["changed"], round(statistics["effect"], 3)) == (6, 1, -0.167)


def test_a_run_that_was_left_goes_on_and_takes_a_row_once(caller: Caller, dataset: int) -> None:  # noqa: F811
    put(caller, dataset, *({"id": str(n), "input": n + 1} for n in range(3)))
    run = a_run(caller).json()
    path = f"experiments/{run['id']}"
    one = {"results": [{"id": "1", "output": "x"}]}
    assert post(caller, f"{path}/results", one).json() == {"stored": 1, "done": 1, "rows": 3}
    assert post(caller, f"{path}/results", one).json()["stored"] == 0
    assert a_run(caller, resume=True).json()["id"] == run["id"]
    assert [row["id"] for row in caller.get(f"{path}/pending").json()["items"]] == ["0", "2"]
    assert_problem(post(caller, f"{path}/finish"), 409)
    assert_problem(post(caller, f"{path}/results", {"results": [{"id": "9"}]}), 400, "results.0.id")
    post(caller, f"{path}/cancel")
    tasks.work_off()
    assert caller.get(path).json()["status"] == "canceled"
    assert_problem(post(caller, f"{path}/results", one), 409)


def test_what_cannot_be_run_is_refused_with_the_reason(caller: Caller, dataset: int) -> None:  # noqa: F811
    assert_problem(a_run(caller), 409)
    put(caller, dataset, {"input": "Q"})
    assert_problem(a_run(caller, dataset="nosuch"), 400, "dataset")
    assert_problem(a_run(caller, evaluators=["nosuch"]), 400, "evaluators")
    assert_problem(a_run(caller, kind="endpoint", target={"model": "m"}), 400, "target.endpoint")
    assert_problem(a_run(caller, version=7), 409)
    assert not Experiment.objects.exists()


def test_an_endpoints_key_is_never_shown_and_only_people_add_one(caller: Caller) -> None:  # noqa: F811
    body = {"name": "local", "base_url": "http://models.internal/v1/chat/completions", "key": "sk-secret"}
    assert_problem(post(caller, "endpoints", body), 403)
    editor = Person(caller, Membership.Role.EDITOR)
    made = send(editor, "post", "endpoints", body).json()
    assert (made["base_url"], "key" in made) == ("http://models.internal/v1", False)
    assert "sk-secret" not in Endpoint.objects.get().api_key
    assert "sk-secret" not in caller.get("endpoints").content.decode()
    assert send(editor, "post", "endpoints", body | {"name": "x", "base_url": "ftp://host"}).status_code == 400
    assert send(Person(caller, Membership.Role.VIEWER), "delete", f"endpoints/{made['id']}").status_code == 403
    assert send(editor, "delete", f"endpoints/{made['id']}").status_code == 204


def test_nothing_of_another_project_is_read_or_changed(caller: Caller, stranger: Caller, dataset: int) -> None:  # noqa: F811
    put(caller, dataset, {"id": "1", "input": "ours"})
    run = a_run(caller).json()["id"]
    for path in (
        *(f"datasets/{dataset}{rest}" for rest in ("", "/rows", "/versions", "/versions/1", "/versions/1/diff")),
        *(f"experiments/{run}{rest}" for rest in ("", "/results", "/pending")),
        f"datasets/{dataset}/versions/1/export",
        f"experiments/compare?run={run}&run={run}",
    ):
        assert stranger.get(path).status_code == 404, path
    for path in (
        *(f"datasets/{dataset}/{deed}" for deed in ("rows", "split", "from-traces", "import")),
        *(f"experiments/{run}/{deed}" for deed in ("results", "finish", "cancel", "retry")),
    ):
        assert post(stranger, path, {"splits": "a=1", "items": ["0" * 32]}).status_code == 404, path
    assert stranger.client.delete(f"/api/v1/datasets/{dataset}").status_code == 404
    assert stranger.get("datasets").json()["items"] == stranger.get("experiments").json()["items"] == []
    assert_problem(
        post(stranger, "experiments", {"dataset": str(dataset), "name": "x", "kind": "function"}), 400, "dataset"
    )
    assert Dataset.objects.filter(pk=dataset).exists()
