"""Questions of a page are asked at once: in its context, and what goes wrong in one is told where it is wanted."""

import threading
from contextvars import ContextVar

import pytest

from heliograph.query.asking import asking


def test_questions_run_at_once_and_each_has_its_answer() -> None:
    # Each waits until the other has begun too.
    both = threading.Barrier(2, timeout=60)

    def question(answer: int) -> int:
        both.wait()
        return answer

    with asking() as ask:
        first, second = ask(question, 1), ask(question, 2)
    assert (first.result(), second.result()) == (1, 2)


def test_a_question_sees_the_context_of_its_page() -> None:
    store: ContextVar[str] = ContextVar("store", default="ours")
    token = store.set("elsewhere")
    try:
        with asking() as ask:
            seen = ask(store.get)
    finally:
        store.reset(token)
    assert seen.result() == "elsewhere"


def test_what_a_question_raises_is_raised_by_its_answer_alone() -> None:
    def refused() -> None:
        raise ValueError("no such thing")

    with asking() as ask:
        wrong, right = ask(refused), ask(len, "four")
    assert right.result() == 4
    with pytest.raises(ValueError, match="no such thing"):
        wrong.result()
