"""Langfuse's SDK: observed functions around its OpenAI wrapper, a retriever, a generation with costs, an error."""

from langfuse import Langfuse, get_client, observe, propagate_attributes
from programs_common import (
    DOCUMENTS,
    OPENAI,
    OTLP,
    QUESTION,
    SESSION,
    USER,
    WEATHER_TOOL,
    get_weather,
    messages,
    must_fail,
)

Langfuse(public_key="pk-lf-recorder", secret_key="sk-lf-recorder", base_url=OTLP)

from langfuse.openai import OpenAI  # noqa: E402  (the client first)

client = OpenAI(base_url=OPENAI, api_key="none", max_retries=0)


@observe(as_type="tool", name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return get_weather(city)


@observe(as_type="retriever")
def find(question: str) -> list[str]:
    """What the question may be answered from."""
    return list(DOCUMENTS)


@observe(as_type="agent", name="weather_agent")
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


@observe(name="conversation")
def conversation(question: str) -> str:
    """All of it."""
    with propagate_attributes(session_id=SESSION, user_id=USER, tags=["recorded"]):
        find(question)
        client.chat.completions.create(model="gpt-4o", messages=messages(), temperature=0.5)
        list(
            client.chat.completions.create(
                model="gpt-4o", messages=messages(), stream=True, stream_options={"include_usage": True}
            )
        )
        with get_client().start_as_current_observation(as_type="generation", name="priced", model="in-house") as own:
            own.update(
                input=question,
                output="Paris.",
                usage_details={"input": 10, "cache_read_input_tokens": 6, "output": 4, "total": 20},
                cost_details={"input": 0.25, "output": 0.5, "total": 0.75},
            )
        answer = ask()
        must_fail(lambda: client.chat.completions.create(model="broken", messages=messages()))
        return answer


conversation(QUESTION)
get_client().shutdown()
