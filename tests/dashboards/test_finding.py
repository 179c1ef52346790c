"""The search box of lists: what is found, what is said where nothing is, and that a page of a long list keeps it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from heliograph.accounts.models import Project
from heliograph.alerts.models import Channel, Rule, Silence
from heliograph.dashboards.wording import counted, so_many_are
from heliograph.datasets.models import Dataset

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
LISTS = (
    *("alerts", "alerts-channels", "alerts-deliveries", "alerts-silences", "annotation", "datasets", "experiments"),
    *("evaluation-judges", "evaluation-rules", "evaluation-schedules", "evaluations-gates", "evaluations-monitors"),
    *("gpus-training", "overview-boards", "settings-scraping"),
)


def page(reader: Client, project: Project, name: str, **asked: str) -> str:
    answer = reader.get(reverse(name, args=[project.slug]), asked)
    assert answer.status_code == 200, name
    return answer.content.decode()


def test_each_list_says_that_it_has_nothing_with_the_text(reader: Client, project: Project) -> None:
    for name in LISTS:
        text = page(reader, project, name, find="such \x00<b>a thing")
        assert "None of them has “such &lt;b&gt;a thing” in it." in text, name
        assert "None of them" not in page(reader, project, name), name


def test_a_text_in_any_case_keeps_the_rows_that_have_it(reader: Client, project: Project) -> None:
    now = timezone.now()
    above = {"kind": "threshold", "condition": {"side": "above", "bound": 1}}
    rule = Rule.objects.create(project=project, name="Slow answers", measure="latency_p95", **above)
    Rule.objects.create(project=project, name="Dear answers", measure="cost", **above)
    Channel.objects.create(project=project, name="On call", kind="webhook")
    Channel.objects.create(project=project, name="Everybody", kind="slack")
    ends = {"starts_at": now, "ends_at": now + timedelta(hours=1)}
    Silence.objects.create(project=project, comment="Moving house", rule=rule, **ends)
    Silence.objects.create(project=project, comment="Nightly restart", **ends)
    for name, asked, kept, left in (
        ("alerts", "SLOW", "Slow answers", "Dear answers"),
        ("alerts", "latency", "Slow answers", "Dear answers"),
        ("alerts-channels", "slack", "Everybody", "On call"),
        ("alerts-silences", "slow answers", "Moving house", "Nightly restart"),
    ):
        text = page(reader, project, name, find=asked)
        assert f">{kept}</" in text, name
        assert f">{left}</a>" not in text, name
        assert f"<td>{left}</td>" not in text, name


def test_the_next_page_of_what_was_found_is_of_what_was_found(reader: Client, project: Project) -> None:
    Dataset.objects.bulk_create(Dataset(project=project, name=f"refunds {number:03}") for number in range(60))
    Dataset.objects.bulk_create(Dataset(project=project, name=f"other {number:03}") for number in range(60))
    text = page(reader, project, "datasets", find="refunds")
    assert "?find=refunds&page=2" in text.replace("&amp;", "&")
    assert "other 0" not in text


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 spans are"), (1, "1 span is"), (2, "2 spans are"), (1200, "1,200 spans are")]
)
def test_a_number_and_its_noun_agree(number: int, words: str) -> None:
    assert so_many_are(number, "span") == words
    assert counted(number, "try", "tries").endswith("try" if number == 1 else "tries")
