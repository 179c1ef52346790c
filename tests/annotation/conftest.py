"""A queue over a handful of stored answers, and the people who judge them."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from heliograph.accounts.models import Membership, Project, User
from heliograph.annotation import queues, rubric
from heliograph.annotation.models import Item, Queue
from heliograph.query.annotated import Candidate
from heliograph.query.filters import to_ns
from tests.query.rows import START, llm, new_trace_id, store_spans

RUBRIC = "correct: yes or no\nhelpfulness: 1 to 5\ntone?: polite | neutral | rude\nbetter answer: correction"
MakeQueue = Callable[..., Queue]
Person = Callable[[str], User]


@pytest.fixture
def person(project: Project) -> Person:
    """Return a function that gives a member of the project's organisation by name."""

    def named(name: str) -> User:
        user, is_new = User.objects.get_or_create(username=name)
        if is_new:
            Membership.objects.create(organization=project.organization, user=user, role=Membership.Role.EDITOR)
        return user

    return named


@pytest.fixture
def make_queue(project: Project) -> MakeQueue:
    def make(name: str = "refunds", text: str = RUBRIC, **fields: Any) -> Queue:
        return Queue.objects.create(project=project, name=name, rubric=rubric.as_json(rubric.read_text(text)), **fields)

    return make


def stored(project: Project, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Store model calls with a question and an answer, a second apart, one a trace."""
    rows = [
        llm(
            new_trace_id(),
            number + 1,
            parent_span_id="",
            input=f"question {number}",
            output=f"answer {number}",
            input_preview=f"question {number}",
            output_preview=f"answer {number}",
            **fields,
        )
        for number in range(count)
    ]
    store_spans(project.pk, *rows)
    return rows


def filled(queue: Queue, rows: Sequence[dict[str, Any]]) -> list[Item]:
    """Put spans into a queue, in their order."""
    queues.add(queue, [Candidate(row["trace_id"], row["span_id"], row["start_time"], None) for row in rows])
    return list(queue.items.order_by("pk"))


def invented(queue: Queue, count: int) -> list[Item]:
    """Put spans into a queue that no store has."""
    start = to_ns(START)
    queues.add(queue, [Candidate(new_trace_id(), f"{n:016x}", start + n, None) for n in range(count)])
    return list(queue.items.order_by("pk"))
