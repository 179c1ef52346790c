"""LangSmith's SDK with its OpenTelemetry export: traced functions around its OpenAI wrapper, a retriever, an error."""

from langsmith import Client, traceable
from langsmith.wrappers import wrap_openai
from openai import OpenAI
from programs_common import (
    DOCUMENTS,
    OPENAI,
    QUESTION,
    SESSION,
    WEATHER_TOOL,
    get_weather,
    messages,
    must_fail,
    tracing,
)

provider = tracing()
langsmith = Client(api_url="http://127.0.0.1:9", api_key="none")
options = {"client": langsmith}
client = wrap_openai(OpenAI(base_url=OPENAI, api_key="none", max_retries=0), tracing_extra=options)


@traceable(run_type="tool", name="get_weather", **options)
def weather(city: str) -> str:
    """The weather of a city."""
    return get_weather(city)


@traceable(run_type="retriever", **options)
def find(question: str) -> list[dict[str, str]]:
    """What the question may be answered from."""
    return [{"page_content": text, "type": "Document"} for text in DOCUMENTS]


@traceable(run_type="chain", name="conversation", metadata={"session_id": SESSION}, tags=["recorded"], **options)
def conversation(question: str) -> str:
    """All of it."""
    find(question)
    client.chat.completions.create(model="gpt-4o", messages=messages(), temperature=0.5)
    list(
        client.chat.completions.create(
            model="gpt-4o", messages=messages(), stream=True, stream_options={"include_usage": True}
        )
    )
    call = client.chat.completions.create(model="gpt-4o", messages=messages(), tools=[WEATHER_TOOL]).choices[0].message
    answered = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": weather("Paris")}
    answer = client.chat.completions.create(
        model="gpt-4o", messages=[*messages(), call.model_dump(exclude_none=True), answered], tools=[WEATHER_TOOL]
    )
    must_fail(lambda: client.chat.completions.create(model="broken", messages=messages()))
    return answer.choices[0].message.content


conversation(QUESTION)
langsmith.flush()
provider.shutdown()
