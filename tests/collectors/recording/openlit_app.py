"""OpenLIT: calls of OpenAI's client under its SDK, streamed, with a tool, an embedding, an error."""

import openlit
from programs_common import OPENAI, OTLP, QUESTION, USER, WEATHER_TOOL, messages, must_fail

openlit.init(otlp_endpoint=OTLP, application_name="recorder", environment="test", disable_batch=True)

from openai import OpenAI  # noqa: E402  (instrumented first)

client = OpenAI(base_url=OPENAI, api_key="none", max_retries=0)


@openlit.trace
def conversation() -> str:
    """The calls, in the order that the tests expect."""
    client.chat.completions.create(model="gpt-4o", messages=messages(), temperature=0.5, user=USER)
    list(
        client.chat.completions.create(
            model="gpt-4o", messages=messages(), stream=True, stream_options={"include_usage": True}
        )
    )
    call = client.chat.completions.create(model="gpt-4o", messages=messages(), tools=[WEATHER_TOOL]).choices[0].message
    answered = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "21 degrees in Paris"}
    client.chat.completions.create(
        model="gpt-4o", messages=[*messages(), call.model_dump(exclude_none=True), answered], tools=[WEATHER_TOOL]
    )
    client.embeddings.create(model="text-embedding-3-small", input=[QUESTION])
    must_fail(lambda: client.chat.completions.create(model="broken", messages=messages()))
    return "done"


conversation()
from opentelemetry import trace  # noqa: E402  (the SDK has set the provider)

trace.get_tracer_provider().shutdown()
