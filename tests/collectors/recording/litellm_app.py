"""LiteLLM's own OpenTelemetry callback: a question, streamed, with a tool, an embedding, an error."""

import time
from typing import Any

import litellm
from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig
from programs_common import OPENAI, OTLP, QUESTION, SESSION, USER, WEATHER_TOOL, messages, must_fail

callback = OpenTelemetry(config=OpenTelemetryConfig(exporter="otlp_http", endpoint=f"{OTLP}/v1/traces"))
litellm.callbacks = [callback]


def common() -> dict[str, Any]:
    """Arguments of every call; new ones each time, as the library writes into them."""
    return {
        "api_base": OPENAI,
        "api_key": "none",
        "num_retries": 0,
        "max_retries": 0,
        "metadata": {"session_id": SESSION, "tags": ["recorded"]},
    }


litellm.completion(model="openai/gpt-4o", messages=messages(), temperature=0.5, user=USER, **common())
time.sleep(0.5)
list(
    litellm.completion(
        model="openai/gpt-4o", messages=messages(), stream=True, stream_options={"include_usage": True}, **common()
    )
)
time.sleep(0.5)
call = (
    litellm.completion(model="openai/gpt-4o", messages=messages(), tools=[WEATHER_TOOL], **common()).choices[0].message
)
time.sleep(0.5)
answered = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "21 degrees in Paris"}
litellm.completion(
    model="openai/gpt-4o", messages=[*messages(), call.model_dump(), answered], tools=[WEATHER_TOOL], **common()
)
time.sleep(0.5)
litellm.embedding(model="openai/text-embedding-3-small", input=[QUESTION], **common())
time.sleep(0.5)
must_fail(lambda: litellm.completion(model="openai/broken", messages=messages(), **common()))
# Its callbacks run on a thread that says nothing when it is done.
time.sleep(2)
from opentelemetry import trace  # noqa: E402  (the callback has set the provider)

trace.get_tracer_provider().shutdown()
