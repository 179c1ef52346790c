"""Each page of a project in which nothing happened yet says what to do next."""

import re
from collections.abc import Iterator
from html import unescape

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from heliograph.accounts.models import Membership, Project
from heliograph.dashboards.urls import urlpatterns
from tests.dashboards.conftest import Signed

pytestmark = pytest.mark.usefixtures("store")
SEND = "Any OpenTelemetry SDK sends here"
# What each page says first; of a page that only is a form, the words over it.
NEXT = {
    "overview": SEND,
    "traces": SEND,
    "traces-compare": "Paste the ids of two traces",
    "traces-archive": "the first day is written when it is over",
    "traces-exports": "A file of more traces than the list offers at once is made here",
    "models": SEND,
    "models-compare": "Choose a longer one",
    "models-prompts": "Name the prompt and its version on the model call",
    "models-prompt": "Name the prompt and its version on the model call",
    "models-documents": "Any other engine's span needs its name",
    "overview-boards": "Begin one below",
    "sessions": 'with session("the-conversation"',
    "sessions-one": 'with session("the-conversation"',
    "sessions-users": 'user_id="the-person"',
    "sessions-user": 'user_id="the-person"',
    "gpus": "heliograph-gpu-agent --wait --endpoint",
    "gpus-engines": "Send them by OTLP",
    "gpus-training": "Send what your trainer logs",
    "gpus-calculator": "Roofline of a decode",
    "gpus-slow": "No finished model call began in this stretch of time",
    "evaluations": "Answers are judged by",
    "evaluation-rules": "New rule",
    "evaluation-schedules": "schedule what else shall be looked at",
    "evaluation-judges": "Add one below",
    "evaluations-gates": "Make one below",
    "evaluations-monitors": "New monitor",
    "alerts": "Start with one of these",
    "alerts-rule-new": "What is watched",
    "alerts-channels": "Add one below",
    "alerts-channel-new": "Address",
    "alerts-deliveries": "when you test a channel",
    "alerts-silences": "None: whoever is to be told is told",
    "datasets": "Rows come from a file, from traces",
    "experiments": "Start one against an endpoint below",
    "experiments-compare": "Mark two to six experiments",
    "annotation": "Make a queue, then fill it",
    "ingest": "Settings says how to send a first trace",
    "attribution": "heliograph-gpu-agent --endpoint http://localhost:4318",
    "settings": "Name of the new key",
    "settings-people": "Invite",
    "settings-holds": "A hold keeps what a dispute",
    "settings-erasures": "User id, as spans name it",
    "settings-audit": "Nothing has been changed yet",
    "settings-prices": "Set a price",
    "settings-sampling": "New rule",
    "settings-redaction": "New rule",
    "settings-conventions": "Pick a key below",
    "settings-scraping": "Add a target",
}
_TAGS = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")


def pages(browser: Client, project: Project) -> Iterator[tuple[str, str]]:
    """The name and the words of each whole page that is of a project and of nothing in it."""
    for pattern in urlpatterns:
        name = str(getattr(pattern, "name", ""))
        try:
            address = reverse(name, args=[project.slug])
        except NoReverseMatch:
            continue
        if name == "invitation":  # its argument is no project
            continue
        answer = browser.get(address)
        if answer.streaming:
            answer.close()
        elif answer.status_code == 200 and b"<main" in answer.content:
            shown = answer.content.decode().partition("<main")[2].partition("</main>")[0]
            yield name, _SPACE.sub(" ", unescape(_TAGS.sub("", shown)))


def test_each_page_of_an_empty_project_says_what_to_do_next(signed_in: Signed, project: Project) -> None:
    found = dict(pages(signed_in(Membership.Role.OWNER), project))
    # A new page stands in NEXT with the words by which it says what to do.
    assert set(found) == set(NEXT)
    assert {name for name, words in NEXT.items() if words not in found[name]} == set()
