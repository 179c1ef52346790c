"""MLflow's tracing SDK: its OpenAI autologging under decorated functions, a retriever, a tool, an error."""

import mlflow
from mlflow.entities import Document, SpanType
from programs_common import DOCUMENTS, OPENAI, QUESTION, SESSION, USER, WEATHER_TOOL, get_weather, messages, must_fail

mlflow.openai.autolog()

from openai import OpenAI  # noqa: E402  (patched first)

client = OpenAI(base_url=OPENAI, api_key="none", max_retries=0)


@mlflow.trace(span_type=SpanType.TOOL, name="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return get_weather(city)


@mlflow.trace(span_type=SpanType.RETRIEVER, name="find")
def find(question: str) -> list[Document]:
    """What the question may be answered from."""
    return [Document(page_content=text, id=f"d{at}") for at, text in enumerate(DOCUMENTS)]


@mlflow.trace(span_type=SpanType.AGENT, name="weather_agent")
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


@mlflow.trace(name="conversation")
def conversation(question: str) -> str:
    """All of it."""
    mlflow.update_current_trace(metadata={"mlflow.trace.session": SESSION, "mlflow.trace.user": USER})
    find(question)
    client.chat.completions.create(model="gpt-4o", messages=messages(), temperature=0.5)
    list(
        client.chat.completions.create(
            model="gpt-4o", messages=messages(), stream=True, stream_options={"include_usage": True}
        )
    )
    answer = ask()
    client.embeddings.create(model="text-embedding-3-small", input=[question])
    must_fail(lambda: client.chat.completions.create(model="broken", messages=messages()))
    return answer


conversation(QUESTION)
mlflow.flush_trace_async_logging()
