"""Google's Agent Development Kit: `gcp.vertex.agent.*`, requests and responses as JSON.

https://google.github.io/adk-docs/
"""

from collectors.semconv.table import Dialect

DIALECT = Dialect(
    name="google_adk",
    fields={
        "session_id": ("gcp.vertex.agent.session_id",),
        "input": ("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"),
        "output": ("gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"),
    },
)
