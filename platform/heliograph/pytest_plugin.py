"""A data set as a test: pytest calls the marked function for every row, and fails it with the reason.

    @pytest.mark.heliograph("refunds", split="test", evaluators=["exact_match"], at_least={"exact_match": 0.9})
    def test_refunds(row):
        return answer(row.input)

What the function returns is the answer to the row; the run is an experiment on the server that HELIOGRAPH_URL and
HELIOGRAPH_API_KEY name. It fails where a row raises (more than `failures` of them) or a mean is below `at_least`.
Everything else in the mark is handed to `heliograph.evaluate`.
"""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

import heliograph

if TYPE_CHECKING:
    # pytest loads this in every project; OpenTelemetry is loaded where a test is marked.
    from heliograph.sdk.evaluation import Evaluation

MARK = "heliograph"
# The worst ones; the page of the experiment has all.
ROWS_SHOWN = 5
_CHARACTERS = 200


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        "heliograph(dataset, *, at_least={}, failures=0, **evaluate): call the test for every row of a data set, and "
        "fail it where a mean score is below its bound",
    )


@pytest.fixture
def row() -> None:
    """The row of a test that is marked with `heliograph`; one that is not marked has none."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test once for every row instead of once."""
    mark = pyfuncitem.get_closest_marker(MARK)
    if mark is None:
        return None
    if len(mark.args) > 1:
        pytest.fail("The mark heliograph takes one data set; everything else is given by name.", pytrace=False)
    options = dict(zip(("dataset",), mark.args, strict=False)) | dict(mark.kwargs)
    at_least: Mapping[str, float] = options.pop("at_least", {})
    failures: int = options.pop("failures", 0)
    test = pyfuncitem.obj
    wanted = set(inspect.signature(test).parameters) - {"row"}
    given = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}

    def call(row: Any) -> Any:
        return test(**given, row=row)

    call.__name__ = pyfuncitem.originalname
    options.setdefault("metadata", {"test": pyfuncitem.nodeid[:500]})
    outcome = heliograph.evaluate(function=call, **options)
    pyfuncitem.user_properties.append(("heliograph_experiment", outcome.id))
    if reasons := _reasons(outcome, at_least, failures):
        pytest.fail("\n".join(reasons), pytrace=False)
    return True


def _reasons(outcome: "Evaluation", at_least: Mapping[str, float], failures: int) -> list[str]:
    """Return why a run is no success, with the rows that show it; [] where it is one."""
    reasons = [f"The experiment failed: {outcome.error}"] if outcome.status != "done" else []
    if outcome.failed > failures:
        reasons.append(f"{outcome.failed} of {outcome.rows} rows raised; {failures} may.")
        errors = [each for each in outcome.results() if each["error"]]
        reasons += [f"  {each['id']}: {each['error'][:_CHARACTERS]}" for each in errors[:ROWS_SHOWN]]
    for name, bound in at_least.items():
        mean = outcome.scores.get(name)
        if mean is None:
            reasons.append(f"{name} has no value; the scores are {', '.join(outcome.scores) or 'none'}.")
        elif mean < bound:
            reasons.append(f"{name} is {mean:.4g} in the mean; {bound:g} is the least.")
            reasons += _worst(outcome, name)
    if reasons:
        reasons.append(f"Experiment {outcome.id} of {outcome.rows} rows: {outcome.url}")
    return reasons


def _worst(outcome: "Evaluation", name: str) -> list[str]:
    scored = [(each["scores"].get(name, {}), each) for each in outcome.results()]
    known = sorted(
        ((verdict["value"], verdict, each) for verdict, each in scored if verdict.get("value") is not None),
        key=lambda found: (found[0], found[2]["id"]),
    )
    return [
        f"  {value:.4g}  {each['id']}: {str(each['output'])[:_CHARACTERS]!r}"
        + (f"; expected {str(each['row']['expected'])[:_CHARACTERS]!r}" if each["row"]["expected"] is not None else "")
        + (f" ({verdict['explanation'][:_CHARACTERS]})" if verdict["explanation"] else "")
        for value, verdict, each in known[:ROWS_SHOWN]
    ]
