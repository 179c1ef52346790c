"""The calculator's page: figures with reasons, service levels, ZeRO."""

import pytest
from django.test import Client

from heliograph.accounts.models import Project
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import store_spans
from tests.query.test_goodput_and_use import H100, at_port, call, engine, gpus

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def page(reader: Client, project: Project, query: str = "", **headers: str) -> str:
    answer = reader.get(f"/p/{project.slug}/gpus/calculator?{query}", headers=headers)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_it_opens_with_an_example_that_is_worked_out(reader: Client, project: Project) -> None:
    text = page(reader, project)
    assert "73.1 %" in text
    assert "0.244 %" in text
    assert "120.0 GB" in text
    assert "41.3 GB" in text


def test_what_is_stated_stays_in_the_address_and_htmx_gets_the_figures_alone(reader: Client, project: Project) -> None:
    text = page(reader, project, "model=Llama-3-70B&gpu=H100+SXM&gpus=4&context=4096", **{"hx-request": "true"})
    assert "<html" not in text
    assert "1.25 GiB" in text
    assert "state the tokens a second" in text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("model=gpt-4o&gpu=L4", "config.json"),
        ("model=Llama-3.1-8B&gpu=H100+SXM&tokens_per_s=900000", "Data error"),
        ("model=Llama-3-70B&gpu=L4", "the weights do not fit"),
        ("model=Llama-3-8B&gpus=0", "greater than or equal to 1"),
        ("model=%3Cscript%3E", "is not in the table"),
        ("ttft_ms=0&tpot_ms=0", "state a limit"),
    ],
)
def test_what_cannot_be_worked_out_says_why(reader: Client, project: Project, query: str, said: str) -> None:
    text = page(reader, project, query)
    assert said in text
    assert "<script>is" not in text


def test_the_projects_requests_are_judged_by_the_limits(reader: Client, project: Project) -> None:
    store_spans(project.pk, *(call(number, 300, 30) for number in range(3)), call(9, 500, 30))
    text = page(reader, project, IN_HOUR)
    assert "<b><span" in text
    assert "75 %" in text
    assert "100 %" in page(reader, project, f"{IN_HOUR}&ttft_ms=600&tpot_ms=40")


def test_engines_of_one_gpu_stand_each_with_how_it_was_joined(reader: Client, project: Project) -> None:
    for port, pid in ((8000, 100), (8001, 200)):
        engine(project.pk, 600, instance=f"10.0.0.5:{port}")
        gpus(project.pk, H100, pid=pid, **at_port(port))
    text = page(reader, project, IN_HOUR)
    assert text.count("1 × H100 SXM, by socket") == 2
    assert text.count("1 shared with others") == 2
