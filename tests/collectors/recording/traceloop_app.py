"""Traceloop's SDK: a workflow with a task, an agent and a tool around calls of OpenAI's client, and an error."""

from programs_common import OPENAI, OTLP, QUESTION, SESSION, USER, WEATHER_TOOL, get_weather, messages, must_fail
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import agent, task, tool, workflow
from traceloop.sdk.instruments import Instruments

Traceloop.init(
    app_name="recorder",
    api_endpoint=OTLP,
    disable_batch=True,
    instruments={Instruments.OPENAI},
    telemetry_enabled=False,
)

from openai import OpenAI  # noqa: E402  (instrumented first)

client = OpenAI(base_url=OPENAI, api_key="none", max_retries=0)


@tool(name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return get_weather(city)


@task(name="plain_question")
def plain() -> str:
    """One call, and one streamed."""
    client.chat.completions.create(model="gpt-4o", messages=messages(), temperature=0.5)
    chunks = client.chat.completions.create(
        model="gpt-4o", messages=messages(), stream=True, stream_options={"include_usage": True}
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@agent(name="weather_agent")
def ask() -> str:
    """Two turns: a tool call, then the answer."""
    call = client.chat.completions.create(model="gpt-4o", messages=messages(), tools=[WEATHER_TOOL]).choices[0].message
    answered = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": weather("Paris")}
    return (
        client.chat.completions.create(
            model="gpt-4o", messages=[*messages(), call.model_dump(exclude_none=True), answered], tools=[WEATHER_TOOL]
        )
        .choices[0]
        .message.content
    )


@workflow(name="conversation")
def conversation(question: str) -> str:
    """All of it."""
    Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})
    plain()
    answer = ask()
    client.embeddings.create(model="text-embedding-3-small", input=[question])
    must_fail(lambda: client.chat.completions.create(model="broken", messages=messages()))
    return answer


conversation(QUESTION)
