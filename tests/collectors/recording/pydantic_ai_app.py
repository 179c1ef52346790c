"""Pydantic AI's own instrumentation: an agent of two turns with a tool, a stream, an error."""

import asyncio

from openai import AsyncOpenAI
from programs_common import OPENAI, QUESTION, SYSTEM, get_weather, must_fail, tracing
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = tracing()
Agent.instrument_all()


def model(name: str) -> OpenAIChatModel:
    """A model of the stub, which is not asked twice."""
    client = AsyncOpenAI(base_url=OPENAI, api_key="none", max_retries=0)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


async def stream(agent: Agent) -> None:
    """One streamed answer."""
    async with agent.run_stream(QUESTION) as result:
        async for _ in result.stream_text():
            pass


weather = Agent(model("gpt-4o"), instructions=SYSTEM, tools=[get_weather], name="weather_agent")
weather.run_sync(QUESTION)
asyncio.run(stream(Agent(model("gpt-4o"), instructions=SYSTEM, name="plain_agent")))
must_fail(lambda: Agent(model("broken"), name="broken_agent").run_sync(QUESTION))
provider.shutdown()
