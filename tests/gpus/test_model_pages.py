"""Models side by side, by what their names say; one family compared; one model, its adapters, and one adapter."""

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from heliograph.accounts.models import ApiKey, Project
from heliograph.query import models
from heliograph.query.filters import TimeRange
from heliograph.query.scores import Score, write_scores
from tests.gpus.conftest import Played, Signed
from tests.query.rows import HOUR, SECOND, at, llm, new_trace_id, store_spans

pytestmark = pytest.mark.usefixtures("store")
Q4, FP8 = "llama3.1:8b-instruct-q4_K_M", "neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8"
QWEN = "Qwen/Qwen2.5-7B-Instruct-AWQ"
IN_HOUR = {"from": HOUR.start.isoformat(), "to": HOUR.end.isoformat()}


@pytest.fixture
def pair(other: Project) -> Project:
    """Two quantizations of one model and something else: Q4 is faster and cheaper, FP8 is better."""
    rows, scores = [], []
    for number in range(20):
        for model, ms, cost, value in (
            (Q4, 400, "0.0001", 0.6),
            (FP8, 900, "0.0004", 0.9),
            ("gpt-4o", 700, None, None),
        ):
            trace_id = new_trace_id()
            row = llm(
                trace_id,
                number * 60,
                model=model,
                provider="vllm" if value else "openai",
                duration_ns=ms * SECOND // 1000,
                ttft_ns=100_000_000,
                input_tokens=100,
                output_tokens=101,
                cost=None if cost is None else Decimal(cost),
                model_requested="llama-latest" if model == FP8 else model,
                adapter="legal" if model == FP8 and number % 4 == 0 else "",
            )
            rows.append(row)
            if value:
                judged = Score(
                    score_id=f"{model}-{number}",
                    time_ns=at(number * 60),
                    name="groundedness",
                    value=value,
                    trace_id=trace_id,
                    span_id=row["span_id"],
                    source="evaluator",
                )
                scores.append(judged)
    store_spans(other.pk, *rows)
    write_scores(other.pk, scores, 90)
    return other


@pytest.fixture
def member(pair: Project, signed_in: Signed) -> Client:
    return signed_in(organization=pair.organization)


def get(client: Client, name: str, **query: str) -> Any:
    return client.get(reverse(name, args=["else"]), IN_HOUR | query)


def test_a_model_has_its_speed_price_and_quality(pair: Project) -> None:
    rows = {row.model: row for row in models.by_model(pair.pk, HOUR, score="groundedness")}
    assert set(rows) == {Q4, FP8, "gpt-4o"}
    q4, fp8 = rows[Q4], rows[FP8]
    assert (q4.family, fp8.family) == ("llama-3.1", "llama-3.1")
    assert (q4.name.quantization, fp8.name.quantization) == ("Q4_K_M", "FP8")
    assert q4.tpot is not None
    assert fp8.tpot is not None
    # 300 ms and 800 ms for the hundred tokens after the first.
    assert (q4.tpot.p50_ns, fp8.tpot.p50_ns) == pytest.approx((3e6, 8e6), rel=0.01)
    assert q4.usd_per_million == pytest.approx(Decimal("0.0001") / 201 * 1_000_000)
    assert q4.quality is not None
    assert (q4.quality.mean, q4.quality.scored) == (pytest.approx(0.6), 20)
    assert rows["gpt-4o"].usd_per_million is None
    assert rows["gpt-4o"].quality is None
    assert (fp8.adapters, q4.adapters, fp8.providers) == (1, 0, ("vllm",))


def test_q4_against_fp8_of_one_family_is_one_click(member: Client, pair: Project) -> None:
    listed = get(member, "models")
    families = {family.key: family for family in listed.context["families"]}
    assert [len(families[key].rows) for key in ("llama-3.1", "gpt-4o")] == [2, 1]
    html = listed.content.decode()
    link = f"{reverse('models-compare', args=['else'])}?family=llama-3.1"
    assert link in html
    assert "family=gpt" not in html
    assert [words for words, _ in families["llama-3.1"].quantized] in (["Q4_K_M against FP8"], ["FP8 against Q4_K_M"])
    assert families["gpt-4o"].quantized == []
    (_, picked), *_ = families["llama-3.1"].quantized
    assert {value for _, value in parse_qsl(picked)} == {Q4, FP8}
    assert escape(picked) in html
    compared = get(member, "models-compare", family="llama-3.1")
    assert {row.model for row in compared.context["rows"]} == {Q4, FP8}
    best = compared.context["best"]
    assert best.latency == pytest.approx(400e6, rel=0.01)
    assert best.quality == pytest.approx(0.9)
    # Latency, time per token and price of the one, quality of the other; the first token comes as fast from both.
    assert compared.content.decode().count(' best"') == 6
    charts = {chart.id: chart for chart in compared.context["charts"]}
    assert {series.name for series in charts["compare-latency"].series} == {Q4, FP8}


def test_models_of_different_families_are_compared_by_name(member: Client, pair: Project) -> None:
    address = reverse("models-compare", args=["else"])
    compared = member.get(address, {**IN_HOUR, "model": [Q4, "gpt-4o"]})
    assert {row.model for row in compared.context["rows"]} == {Q4, "gpt-4o"}
    assert "No such model answered" in get(member, "models-compare", family="nothing").content.decode()


def test_one_model_shows_what_was_asked_for_and_its_adapters(member: Client, pair: Project) -> None:
    answer = get(member, "models-one", model=FP8)
    assert [(one.requested, one.calls) for one in answer.context["requested"]] == [("llama-latest", 20)]
    found = {(row.place, row.adapter): row.measures.requests for row in answer.context["adapters"]}
    assert found == {("adapter", "legal"): 5, ("none", ""): 15}
    html = answer.content.decode()
    assert "FP8" in html
    assert "adapter=legal" in html
    assert "model-quality" in {chart.id for chart in answer.context["charts"]}
    assert get(member, "models-one", model="nobody").status_code == 404


def test_one_adapter_counts_its_own_calls_alone(member: Client, pair: Project) -> None:
    answer = get(member, "models-adapter", model=FP8, adapter="legal")
    assert answer.context["now"].requests == 5
    assert get(member, "models-adapter", model=Q4, adapter="legal").status_code == 404
    assert get(member, "models-adapter", adapter="legal").context["now"].requests == 5


def test_the_gpus_energy_of_a_model_stands_beside_its_calls(played: Played) -> None:
    rows = {row.model: row for row in models.by_model(played.project_id, played.span)}
    qwen = rows[QWEN]
    assert qwen.joules_per_token is not None
    assert qwen.gpu is not None
    assert qwen.gpu.joules is not None
    assert qwen.joules_per_token == pytest.approx(qwen.gpu.joules / qwen.measures.output_tokens)
    assert qwen.adapters == 3


def test_the_api_gives_the_same_and_only_to_its_project(pair: Project, played: Played, project: Project) -> None:
    api = Client(headers={"x-api-key": ApiKey.issue(pair, "pair")[1]})
    given = {"start": IN_HOUR["from"], "end": IN_HOUR["to"], "family": "llama-3.1", "score": "groundedness"}
    items = {item["model"]: item for item in api.get("/api/v1/models", given).json()["items"]}
    assert set(items) == {Q4, FP8}
    assert items[Q4]["name"]["quantization"] == "Q4_K_M"
    assert items[FP8]["quality"]["mean"] == pytest.approx(0.9)
    stranger = Client(headers={"x-api-key": ApiKey.issue(project, "day")[1]})
    assert Q4 not in {item["model"] for item in stranger.get("/api/v1/models", given).json()["items"]}
    assert api.get("/api/v1/models", {"limit": "0"}).status_code == 400


def test_another_organisation_s_models_are_not_found(project: Project, pair: Project, signed_in: Signed) -> None:
    stranger = signed_in("owner", project.organization)
    for name in ("models", "models-compare", "models-one", "models-adapter"):
        assert get(stranger, name, model=FP8, family="llama-3.1", adapter="legal").status_code == 404
    assert models.by_model(project.pk + 9, HOUR) == []
    assert models.requested_as(project.pk + 9, FP8, HOUR) == []


def test_a_range_without_calls_has_no_models(pair: Project, member: Client) -> None:
    long_ago = TimeRange(HOUR.start.replace(year=HOUR.start.year - 1), HOUR.end.replace(year=HOUR.end.year - 1))
    assert models.by_model(pair.pk, long_ago, score="groundedness") == []
    dates = {"from": long_ago.start.isoformat(), "to": long_ago.end.isoformat()}
    assert "No model answered" in member.get(reverse("models", args=["else"]), dates).content.decode()
