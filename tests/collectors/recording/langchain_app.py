"""LangChain and LangGraph: a chain over a retriever, a stream, an agent with a tool, an error. The argument names the
instrumentation."""

import sys

from programs_common import DOCUMENTS, OPENAI, QUESTION, SESSION, SYSTEM, USER, get_weather, must_fail, tracing

provider = tracing()
if sys.argv[1] == "openinference":
    from openinference.instrumentation.langchain import LangChainInstrumentor
else:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor as LangChainInstrumentor
LangChainInstrumentor().instrument(tracer_provider=provider)

from langchain.agents import create_agent  # noqa: E402  (instrumented first)
from langchain_core.output_parsers import StrOutputParser  # noqa: E402
from langchain_core.prompts import ChatPromptTemplate  # noqa: E402
from langchain_core.runnables import RunnablePassthrough  # noqa: E402
from langchain_core.tools import tool  # noqa: E402
from langchain_core.vectorstores import InMemoryVectorStore  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # noqa: E402

common = {"base_url": OPENAI, "api_key": "none", "max_retries": 0}
model = ChatOpenAI(model="gpt-4o", temperature=0.5, stream_usage=True, **common)
config = {"metadata": {"session_id": SESSION, "user_id": USER}}

embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False, **common)
store = InMemoryVectorStore(embeddings)
store.add_texts(DOCUMENTS)
prompt = ChatPromptTemplate.from_messages([("system", SYSTEM + " Context: {context}"), ("user", "{question}")])
chain = (
    {"context": store.as_retriever(search_kwargs={"k": 2}), "question": RunnablePassthrough()}
    | prompt
    | model
    | StrOutputParser()
)
chain.invoke(QUESTION, config)
list(model.stream([("system", SYSTEM), ("user", QUESTION)], config))
agent = create_agent(model, tools=[tool(get_weather)], system_prompt=SYSTEM, name="weather_agent")
agent.invoke({"messages": [("user", QUESTION)]}, config)
broken = ChatOpenAI(model="broken", **common)
must_fail(lambda: broken.invoke(QUESTION, config))
provider.shutdown()
