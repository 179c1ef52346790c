"""LlamaIndex with OpenInference: a query engine over an index, a streamed chat, an agent with a tool, an error."""

import asyncio

from openinference.instrumentation import using_attributes
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from programs_common import DOCUMENTS, OPENAI, QUESTION, SESSION, SYSTEM, USER, get_weather, must_fail, tracing

provider = tracing()
LlamaIndexInstrumentor().instrument(tracer_provider=provider)

from llama_index.core import Document, VectorStoreIndex  # noqa: E402  (instrumented first)
from llama_index.core.agent.workflow import FunctionAgent  # noqa: E402
from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.embeddings.openai import OpenAIEmbedding  # noqa: E402
from llama_index.llms.openai import OpenAI  # noqa: E402

model = OpenAI(model="gpt-4o", api_base=OPENAI, api_key="none", max_retries=0)
embedding = OpenAIEmbedding(model="text-embedding-3-small", api_base=OPENAI, api_key="none", max_retries=0)
with using_attributes(session_id=SESSION, user_id=USER):
    index = VectorStoreIndex.from_documents([Document(text=text) for text in DOCUMENTS], embed_model=embedding)
    index.as_query_engine(llm=model, similarity_top_k=2).query(QUESTION)
    for _ in model.stream_chat([ChatMessage(role="system", content=SYSTEM), ChatMessage(content=QUESTION)]):
        pass

    async def ask() -> None:
        """Two turns: a tool call, then the answer."""
        agent = FunctionAgent(name="weather_agent", tools=[get_weather], llm=model, system_prompt=SYSTEM)
        await agent.run(QUESTION)

    asyncio.run(ask())
    broken = OpenAI(model="gpt-4o", api_base=OPENAI.replace("/v1", "/broken"), api_key="none", max_retries=0)
    must_fail(lambda: broken.chat([ChatMessage(content=QUESTION)]))
provider.shutdown()
