"""Anthropic's SDK: a question with cached input, a stream, a tool, an error. The argument names the instrumentation."""

import sys

from programs_common import ANTHROPIC, QUESTION, SYSTEM, must_fail, tracing

provider = tracing()
if sys.argv[1] == "openinference":
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.anthropic import AnthropicInstrumentor
else:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
AnthropicInstrumentor().instrument(tracer_provider=provider)

from anthropic import Anthropic  # noqa: E402  (instrumented first)

client = Anthropic(base_url=ANTHROPIC, api_key="none", max_retries=0)
model = "claude-sonnet-4-5"
question = [{"role": "user", "content": QUESTION}]
system = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
tools = [
    {
        "name": "get_weather",
        "description": "The weather of a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def conversation() -> None:
    """The calls, in the order that the tests expect."""
    client.messages.create(model=model, max_tokens=100, system=system, messages=question)
    for _ in client.messages.create(model=model, max_tokens=100, system=system, messages=question, stream=True):
        pass
    called = client.messages.create(model=model, max_tokens=100, messages=question, tools=tools)
    call = called.content[-1]
    answered = [
        *question,
        {"role": "assistant", "content": [block.model_dump() for block in called.content]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees in Paris"}],
        },
    ]
    client.messages.create(model=model, max_tokens=100, messages=answered, tools=tools)
    must_fail(lambda: client.messages.create(model="broken", max_tokens=100, messages=question))


with provider.get_tracer("recorder").start_as_current_span("conversation"):
    if sys.argv[1] == "openinference":
        with using_attributes(session_id="session-7", user_id="user-3"):
            conversation()
    else:
        conversation()
provider.shutdown()
