"""No question about adapters, goodput, documents, training or the engines' use is answered with another's rows."""

import inspect
from collections.abc import Callable

import pytest

from heliograph.query import adapter_cost, adapters, engine_gpus, engine_use, goodput, ocr, residency, serving, training
from heliograph.query.filters import RollupFilter
from tests.query.rows import HOUR, llm, new_trace_id, spans_in_hour, store_spans
from tests.query.test_adapters import shared_out
from tests.query.test_goodput_and_use import engine
from tests.query.test_ocr import vision
from tests.query.test_training import run

__all__ = ["shared_out"]

pytestmark = pytest.mark.usefixtures("store")
ROLLUP = RollupFilter(range=HOUR)
MODULES = (adapter_cost, adapters, engine_gpus, engine_use, goodput, ocr, residency, training)
QUESTIONS: dict[Callable[..., object], Callable[[int], object]] = {
    adapter_cost.cost_by_active_adapters: lambda it: adapter_cost.cost_by_active_adapters(it, HOUR).steps,
    adapters.by_adapter: lambda it: adapters.by_adapter(it, ROLLUP),
    adapters.over_time: lambda it: adapters.over_time(it, ROLLUP),
    engine_gpus.of_engines: lambda it: engine_gpus.of_engines(it, HOUR, serving.canonical(it, HOUR)),
    engine_use.of_engines: lambda it: engine_use.of_engines(it, HOUR),
    goodput.goodput: lambda it: goodput.goodput(it, spans_in_hour(), goodput.Slo()).requests,
    goodput.over_time: lambda it: goodput.over_time(it, spans_in_hour(), goodput.Slo()),
    ocr.grid: lambda it: ocr.grid(it, HOUR).cells,
    residency.residency: lambda it: residency.residency(it, HOUR).adapters,
    training.jobs: lambda it: training.jobs(it, HOUR),
    training.job: lambda it: training.job(it, HOUR, "run-7"),
}


def test_every_function_that_takes_a_project_is_walked() -> None:
    found = {
        function
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and "project_id" in inspect.signature(function).parameters
    }
    assert found == set(QUESTIONS)


def test_a_project_sees_its_own_and_another_sees_nothing(shared_out: int) -> None:  # the fixture
    store_spans(shared_out, llm(new_trace_id(), 1, adapter="a", ttft_ns=10**8), vision(2, None)[0])
    engine(shared_out, 100)
    run(shared_out)
    for function, ask in QUESTIONS.items():
        assert ask(shared_out), function
        assert not ask(shared_out + 2**31), function
