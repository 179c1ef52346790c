"""`evaluate()`: a data set through one's own function, with the answers, scores and traces kept as an experiment.

The server keeps one result a row. So a run that was stopped, by a crash or by hand, goes on where it was when it is
started again under the same name.
"""

import inspect
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from heliograph.sdk.client import Client

logger = logging.getLogger("heliograph.sdk")

# What was answered and not sent when a process is killed is asked again; so little is held back.
SEND_EVERY_S = 1.0
SEND_ROWS = 50
POLL_S = 0.5
_ERROR_CHARACTERS = 2_000

Verdict = float | bool | None | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data set, as the function gets it."""

    id: str
    input: Any
    expected: Any
    context: Any
    metadata: Mapping[str, Any]
    split: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a run ended. `scores` holds the mean of each score by name, None where nothing could be judged."""

    id: int
    name: str
    url: str
    status: str
    rows: int
    failed: int
    scores: Mapping[str, float | None]
    error: str = ""
    _client: Client | None = field(default=None, repr=False, compare=False)

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield each row's result as the API has it. Raises ApiError."""
        assert self._client is not None
        return self._client.pages(f"experiments/{self.id}/results")


class ExperimentError(Exception):
    """A run that did not end as it should; the text says why."""


def evaluate(
    dataset: str | int,
    function: Callable[..., Any],
    *,
    evaluators: Sequence[str | Mapping[str, Any] | Callable[..., Verdict]] = (),
    name: str = "",
    version: int = 0,
    split: str = "",
    metadata: Mapping[str, str] | None = None,
    concurrency: int = 4,
    per_minute: float = 0,
    attempts: int = 1,
    resume: bool = True,
    timeout_s: float = 600.0,
    api_key: str = "",
    web_address: str = "",
) -> Evaluation:
    """Call a function with the input of every row, and return how that went.

    Args:
        dataset: name or id.
        function: gets a row's input, or by the names of its parameters any of `row`, `input`, `expected`, `context`,
            `metadata`; what it returns is the answer, as JSON or else as text. What it raises is that row's error.
        evaluators: names of the server's evaluators, objects of `name`, `evaluator` and `arguments`, or functions of
            one's own that get `output` and, by name, what the function may get too; they return a number, a truth
            value, None, or an object of `value`, `label` and `explanation`.
        name: of the experiment. A run of this name that did not end goes on; without a name each run is a new one.
        version: of the data set; 0 is the latest.
        split: of the version; all rows without it.
        metadata: what was evaluated: release, prompt, model, ...
        concurrency: calls at a time; 1 calls in this thread's order.
        per_minute: calls a minute at most; 0 is no limit.
        attempts: tries of a row whose call raises, with growing waits in between.
        resume: go on with a run of the same name that did not end.
        timeout_s: how long to wait for the server's evaluators.

    Raises ApiError where the server refuses or stays away, and ExperimentError for a run that somebody canceled.
    """
    client = Client.of(api_key, web_address)
    own = [each for each in evaluators if callable(each)]
    run = client.post(
        "experiments",
        {
            "dataset": str(dataset),
            "version": version,
            "split": split,
            "name": name or f"{_name_of(function)} {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}",
            "kind": "function",
            "evaluators": [each for each in evaluators if not callable(each)],
            "metadata": dict(metadata or {}),
            "resume": resume and bool(name),
        },
    )
    work = _Work(client, run, function, own, max(attempts, 1), 60.0 / per_minute if per_minute else 0.0)
    work.do(max(concurrency, 1))
    client.post(f"experiments/{run['id']}/finish")
    return _ended(client, run["id"], timeout_s)


class _Work:
    """One process's share of a run: the rows that have no result yet."""

    def __init__(
        self,
        client: Client,
        run: Mapping[str, Any],
        function: Callable[..., Any],
        evaluators: Sequence[Callable[..., Verdict]],
        attempts: int,
        gap_s: float,
    ) -> None:
        self._client, self._run, self._function = client, run, function
        self._evaluators, self._attempts, self._gap_s = evaluators, attempts, gap_s
        self._tracer = trace.get_tracer("heliograph.sdk")
        self._waiting: list[dict[str, Any]] = []
        self._sent = time.monotonic()

    def do(self, concurrency: int) -> None:
        """Call the function for each row; sends what came, also when it is stopped from outside."""
        rows = self._client.pages(f"experiments/{self._run['id']}/pending")
        under_way: set[Future[dict[str, Any]]] = set()
        begun = time.monotonic()
        with ThreadPoolExecutor(concurrency, thread_name_prefix="heliograph-evaluate") as pool:
            try:
                for row in rows:
                    if self._gap_s:
                        time.sleep(max(0.0, begun - time.monotonic()))
                        begun = max(begun, time.monotonic()) + self._gap_s
                    under_way.add(pool.submit(self._answer, _row_of(row)))
                    while len(under_way) >= concurrency:
                        under_way = self._take(under_way)
                while under_way:
                    under_way = self._take(under_way)
            finally:
                pool.shutdown(cancel_futures=True)
                ended = [each for each in under_way if each.done() and not each.cancelled()]
                self._waiting += [each.result() for each in ended if each.exception() is None]
                self._send()

    def _take(self, under_way: set[Future[dict[str, Any]]]) -> set[Future[dict[str, Any]]]:
        done, left = wait(under_way, timeout=SEND_EVERY_S, return_when=FIRST_COMPLETED)
        self._waiting += [each.result() for each in done]
        if len(self._waiting) >= SEND_ROWS or time.monotonic() - self._sent > SEND_EVERY_S:
            self._send()
        return left

    def _send(self) -> None:
        while self._waiting:
            self._client.post(f"experiments/{self._run['id']}/results", {"results": self._waiting[:SEND_ROWS]})
            self._waiting = self._waiting[SEND_ROWS:]
        self._sent = time.monotonic()

    def _answer(self, row: Row) -> dict[str, Any]:
        attributes = {
            "openinference.span.kind": "CHAIN",
            "input.value": _text(row.input),
            "heliograph.experiment.id": self._run["id"],
            "heliograph.experiment.name": self._run["name"],
            "heliograph.row.id": row.id,
        }
        started = time.monotonic()
        with self._tracer.start_as_current_span(_name_of(self._function), attributes=attributes) as span:
            context = span.get_span_context()
            found: dict[str, Any] = {"id": row.id}
            if context.is_valid:
                found |= {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
            try:
                output = _jsonable(self._tried(row))
            except Exception as error:  # noqa: BLE001  # whatever the user's function raises is this row's result
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                return found | {"error": f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]}
            span.set_attribute("output.value", _text(output))
            span.set_status(Status(StatusCode.OK))
        found |= {"output": output, "duration_ms": (time.monotonic() - started) * 1e3}
        return found | {"scores": {_name_of(each): _judged(each, row, output) for each in self._evaluators}}

    def _tried(self, row: Row) -> Any:
        for attempt in range(1, self._attempts):
            try:
                return _called(self._function, row)
            except Exception as error:  # noqa: BLE001  # as above; another try may help
                logger.info("heliograph: row %s failed at try %d: %s", row.id, attempt, error)
                time.sleep(min(30.0, 0.5 * 2 ** (attempt - 1)))
        return _called(self._function, row)


def _ended(client: Client, run_id: int, timeout_s: float) -> Evaluation:
    deadline = time.monotonic() + timeout_s
    while (run := client.get(f"experiments/{run_id}"))["status"] not in ("done", "failed", "canceled"):
        if time.monotonic() > deadline:
            raise ExperimentError(
                f"The evaluators have not ended after {timeout_s:g} s: {run['scored']} of {run['rows']} rows are "
                "judged. Is a worker running? The results are kept; the experiment goes on by itself."
            )
        time.sleep(POLL_S)
    if run["status"] == "canceled":
        raise ExperimentError("Somebody canceled the experiment.")
    scores = {name: figures["mean"] for name, figures in run["summary"].items()}
    counts = {"rows": run["rows"], "failed": run["failed"], "scores": scores, "error": run["error"]}
    return Evaluation(id=run_id, name=run["name"], url=run["url"], status=run["status"], **counts, _client=client)


def _called(function: Callable[..., Any], row: Row, **more: Any) -> Any:
    """Call with the arguments that the function names, else with the input (and what is `more`) by position."""
    named = {"row": row, "input": row.input, "expected": row.expected, "context": row.context, **more}
    named["metadata"] = row.metadata
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a builtin: no names to go by
        parameters = []
    wanted = [each.name for each in parameters if each.name in named]
    required = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if wanted and set(required) <= set(wanted):
        return function(**{name: named[name] for name in wanted})
    return function(more["output"] if more else row.input)


def _judged(evaluator: Callable[..., Verdict], row: Row, output: Any) -> dict[str, Any]:
    try:
        verdict = _called(evaluator, row, output=output)
    except Exception as error:  # noqa: BLE001  # an evaluator's fault is no verdict on the answer
        return {
            "value": None,
            "label": "unscored",
            "explanation": f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS],
        }
    if isinstance(verdict, Mapping):
        named = {name: str(verdict.get(name, "") or "") for name in ("label", "explanation")}
        return {"value": verdict.get("value"), **named}
    return {"value": None if verdict is None else float(verdict), "label": "unscored" if verdict is None else ""}


def _row_of(given: Mapping[str, Any]) -> Row:
    return Row(**{name: given[name] for name in ("id", "input", "expected", "context", "metadata", "split")})


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))[:100]


def _jsonable(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:20_000]
