"""Demo traces, written with the OpenTelemetry SDK in the conventions that real services use.

Two services that call hosted models: `support-bot` (retrieval, OpenInference) and `research-agent` (an agent with
tools, OpenTelemetry GenAI). The models of one's own are those of the scripted day (`day`).
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from heliograph.demo.articles import ARTICLES, Article

MS = 1_000_000
HOUR = 3_600_000 * MS
# The newer release answers worse, so that the regression check has something to find.
WRONG_SHARE = {"1.4.0": 0.06, "1.5.0": 0.3}
# The version and the template of the prompt of each release: the newer one asks for less care.
PROMPTS = {
    "1.4.0": ("7", "Answer from these articles only.\nIf they do not say it, say so.\n\n{articles}"),
    "1.5.0": ("8", "Answer briefly, with these articles in mind.\n\n{articles}"),
}


@dataclass(slots=True)
class Recorder:
    """Keeps the spans of one service until they are sent."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    @classmethod
    def of(cls, service: str, release: str, **resource: str | int) -> "Recorder":
        """Return a recorder for one release of a service."""
        attributes: dict[str, str | int] = {
            "service.name": service,
            "service.version": release,
            "deployment.environment.name": "production",
        }
        provider = TracerProvider(resource=Resource.create(attributes | resource))
        exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return cls(provider, exporter)

    def start(
        self, name: str, at: int, parent: Span | None = None, kind: SpanKind = SpanKind.INTERNAL, **attributes: object
    ) -> Span:
        """Start a span at a time in nanoseconds; `__` in a keyword stands for a dot."""
        context = set_span_in_context(parent, Context()) if parent else Context()
        tracer = self.provider.get_tracer("heliograph.demo")
        span = tracer.start_span(name, context=context, kind=kind, start_time=at)
        for key, value in attributes.items():
            span.set_attribute(key.replace("__", "."), value)  # type: ignore[arg-type]  # the callers pass OTLP values
        return span


@cache
def _recorder(service: str, release: str) -> Recorder:
    return Recorder.of(service, release)


def generate(count: int, start: int, end: int, seed: int) -> Iterator[list[ReadableSpan]]:
    """Yield `count` traces as lists of finished spans, spread over [start, end) nanoseconds since the epoch."""
    rng = random.Random(seed)  # noqa: S311  # demo data, not a secret
    makers = (_support, _support, _support, _agent)
    for index in range(count):
        at = start + (end - start) * index // count + rng.randrange(0, 20_000) * MS
        at = min(at, end - 60_000 * MS)
        release = "1.5.0" if at > end - 8 * HOUR else "1.4.0"
        rng.choice(makers)(rng, at, release)
        yield _drain()


def _drain() -> list[ReadableSpan]:
    spans: list[ReadableSpan] = []
    for service, release in _RECORDERS:
        recorder = _recorder(service, release)
        spans += recorder.exporter.get_finished_spans()
        recorder.exporter.clear()
    return spans


_RECORDERS = [(service, release) for service in ("support-bot", "research-agent") for release in ("1.4.0", "1.5.0")]


def _message(prefix: str, index: int, role: str, content: str) -> dict[str, str]:
    return {f"{prefix}.{index}.message.role": role, f"{prefix}.{index}.message.content": content}


def _support(rng: random.Random, at: int, release: str) -> None:
    """Answer a customer's question from the help centre (OpenInference)."""
    recorder = _recorder("support-bot", release)
    article = rng.choice(ARTICLES)
    question = rng.choice(article.questions)
    answer = article.wrong if rng.random() < WRONG_SHARE[release] else article.right
    user = f"customer-{rng.randrange(40)}"
    root = recorder.start("answer_question", at, openinference__span__kind="CHAIN", input__value=question)
    root.set_attributes({"session.id": f"{user}-{at // HOUR}", "user.id": user, "tag.tags": ["help-centre"]})
    now = at + rng.randrange(5, 15) * MS
    documents = [article, *rng.sample([other for other in ARTICLES if other is not article], 2)]
    now = _retrieve(recorder, rng, root, now, question, documents)
    failed = rng.random() < 0.03
    now = _openai_call(recorder, rng, root, now, question, documents, None if failed else answer, PROMPTS[release])
    if failed:
        root.set_status(Status(StatusCode.ERROR, "the model's provider refused the request"))
    else:
        root.set_attribute("output.value", answer)
        root.set_status(Status(StatusCode.OK))
    root.end(now + 4 * MS)


def _retrieve(
    recorder: Recorder, rng: random.Random, root: Span, now: int, question: str, documents: list[Article]
) -> int:
    span = recorder.start("search_articles", now, root, openinference__span__kind="RETRIEVER", input__value=question)
    for index, document in enumerate(documents):
        prefix = f"retrieval.documents.{index}.document"
        span.set_attribute(f"{prefix}.id", document.title.lower().replace(" ", "-"))
        span.set_attribute(f"{prefix}.content", document.text)
        span.set_attribute(f"{prefix}.score", round(0.92 - 0.17 * index - rng.random() / 20, 3))
    now += rng.randrange(18, 90) * MS
    span.end(now)
    return now


def _openai_call(
    recorder: Recorder,
    rng: random.Random,
    root: Span,
    now: int,
    question: str,
    documents: list[Article],
    answer: str | None,
    prompt: tuple[str, str],
) -> int:
    model = "gpt-4o-mini" if rng.random() < 0.8 else "gpt-4o"
    version, template = prompt
    system = template.format(articles="\n\n".join(f"{item.title}: {item.text}" for item in documents))
    span = recorder.start("ChatCompletion", now, root, openinference__span__kind="LLM", llm__system="openai")
    span.set_attributes({"llm.model_name": model, "llm.invocation_parameters": json.dumps({"temperature": 0.2})})
    span.set_attributes({"prompt.id": "answer-question", "llm.prompt_template.version": version})
    span.set_attribute("llm.prompt_template.template", template)
    span.set_attributes(_message("llm.input_messages", 0, "system", system))
    span.set_attributes(_message("llm.input_messages", 1, "user", question))
    prompt_tokens = len(system + question) // 4
    if answer is None:
        now += rng.randrange(200, 900) * MS
        span.record_exception(RuntimeError("Rate limit reached for requests"), timestamp=now)
        span.set_status(Status(StatusCode.ERROR, "429: rate limit reached"))
        span.end(now)
        return now
    output_tokens = len(answer) // 4
    first = now + int(rng.lognormvariate(5.9, 0.35)) * MS
    span.add_event("First Token Stream Event", timestamp=first)
    now = first + output_tokens * rng.randrange(9, 16) * MS
    span.set_attributes(_message("llm.output_messages", 0, "assistant", answer))
    span.set_attributes(
        {
            "llm.token_count.prompt": prompt_tokens,
            "llm.token_count.completion": output_tokens,
            "llm.token_count.total": prompt_tokens + output_tokens,
            "llm.token_count.prompt_details.cache_read": prompt_tokens // 2 if rng.random() < 0.4 else 0,
        }
    )
    span.set_status(Status(StatusCode.OK))
    span.end(now)
    return now


def _agent(rng: random.Random, at: int, release: str) -> None:
    """Look something up with tools, then sum it up (OpenTelemetry GenAI, newest shape)."""
    recorder = _recorder("research-agent", release)
    article = rng.choice(ARTICLES)
    task = f"Compare our rules about {article.title.lower()} with what customers ask."
    root = recorder.start("invoke_agent researcher", at, gen_ai__operation__name="invoke_agent")
    root.set_attributes({"gen_ai.agent.name": "researcher", "gen_ai.conversation.id": f"research-{at // HOUR}"})
    history: list[dict[str, object]] = [{"role": "user", "parts": [{"type": "text", "content": task}]}]
    now = at + 3 * MS
    for step in range(rng.randrange(1, 4)):
        call: dict[str, object] = {
            "type": "tool_call",
            "id": f"call_{step}",
            "name": "search_articles",
            "arguments": {"query": article.title},
        }
        now = _claude_call(recorder, rng, root, now, history, [call], "tool_calls")
        history = [*history, {"role": "assistant", "parts": [call]}]
        tool = recorder.start("execute_tool search_articles", now, root, gen_ai__operation__name="execute_tool")
        tool.set_attributes(
            {
                "gen_ai.tool.name": "search_articles",
                "gen_ai.tool.call.id": f"call_{step}",
                "gen_ai.tool.call.arguments": json.dumps(call["arguments"]),
                "gen_ai.tool.call.result": json.dumps({"text": article.text}),
            }
        )
        now += rng.randrange(40, 400) * MS
        if rng.random() < 0.05:
            tool.set_attribute("error.type", "TimeoutError")
            tool.set_status(Status(StatusCode.ERROR, "search timed out"))
        tool.end(now)
        result = {"type": "tool_call_response", "id": f"call_{step}", "response": article.text}
        history = [*history, {"role": "tool", "parts": [result]}]
    answer = article.wrong if rng.random() < WRONG_SHARE[release] else article.right
    now = _claude_call(recorder, rng, root, now, history, [{"type": "text", "content": answer}], "stop")
    root.end(now + 2 * MS)


def _claude_call(
    recorder: Recorder,
    rng: random.Random,
    root: Span,
    now: int,
    history: list[dict[str, object]],
    parts: list[dict[str, object]],
    finish: str,
) -> int:
    span = recorder.start("chat claude-sonnet-4-5", now, root, SpanKind.CLIENT, gen_ai__operation__name="chat")
    input_tokens = 420 + len(json.dumps(history)) // 4
    output_tokens = len(json.dumps(parts)) // 4
    ttft = rng.lognormvariate(6.2, 0.3) / 1000
    span.set_attributes(
        {
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.response.model": "claude-sonnet-4-5-20250929",
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You are a careful researcher."}]),
            "gen_ai.input.messages": json.dumps(history),
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts, "finish_reason": finish}]),
            "gen_ai.response.finish_reasons": [finish],
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
            "gen_ai.usage.cache_read.input_tokens": 400 if len(history) > 1 else 0,
            "gen_ai.response.time_to_first_chunk": round(ttft, 4),
        }
    )
    now += int(ttft * 1000) * MS + output_tokens * rng.randrange(12, 20) * MS
    span.end(now)
    return now
