"""smolagents with OpenInference: an agent that calls a tool and then gives its answer, and an error."""

from openinference.instrumentation import using_attributes
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from programs_common import OPENAI, QUESTION, SESSION, USER, get_weather, tracing

provider = tracing()
SmolagentsInstrumentor().instrument(tracer_provider=provider)

from smolagents import OpenAIServerModel, ToolCallingAgent, tool  # noqa: E402  (instrumented first)

options = {"api_base": OPENAI, "api_key": "none", "client_kwargs": {"max_retries": 0}}
with using_attributes(session_id=SESSION, user_id=USER):
    agent = ToolCallingAgent(
        tools=[tool(get_weather)],
        model=OpenAIServerModel("gpt-4o", **options),
        name="weather_agent",
        description="Knows the weather.",
        max_steps=4,
    )
    agent.run(QUESTION)
provider.shutdown()
