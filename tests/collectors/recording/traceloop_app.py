"""Traceloop's SDK: a workflow with a task, a tool and an agent around OpenAI's client, streamed, with an error."""

from programs_common import OPENAI, OTLP, QUESTION, SESSION, USER, WEATHER_TOOL, get_weather, messages, must_fail
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import agent, task, tool, workflow

Traceloop.init(
    app_name="recorder",
    api_endpoint=OTLP,
    api_key="none",
    disable_batch=True,
    telemetry_enabled=False,
    traceloop_sync_enabled=False,
)
Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})

from openai import OpenAI  # noqa: E402  (instrumented first)

client = OpenAI(base_url=OPENAI, api_key="none", max_retries=0)


@tool(name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return get_weather(city)


@task(name="answer")
def answer() -> None:
    """Plain and streamed."""
    client.chat.completions.create(model="gpt-4o", messages=messages(), temperature=0.5)
    list(
        client.chat.completions.create(
            model="gpt-4o", messages=messages(), stream=True, stream_options={"include_usage": True}
        )
    )


@agent(name="weather_agent")
def ask() -> None:
    """Two turns: a tool call, then the answer."""
    call = client.chat.completions.create(model="gpt-4o", messages=messages(), tools=[WEATHER_TOOL]).choices[0].message
    answered = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": weather("Paris")}
    client.chat.completions.create(
        model="gpt-4o", messages=[*messages(), call.model_dump(exclude_none=True), answered], tools=[WEATHER_TOOL]
    )


@workflow(name="conversation")
def conversation(question: str) -> None:
    """The calls, in the order that the tests expect."""
    answer()
    ask()
    client.embeddings.create(model="text-embedding-3-small", input=[question])
    must_fail(lambda: client.chat.completions.create(model="broken", messages=messages()))


conversation(QUESTION)
from opentelemetry import trace  # noqa: E402  (the SDK has set the provider)

trace.get_tracer_provider().shutdown()
