"""The dialects in order of precedence: where two name one field, the earlier is believed.

What a vendor's SDK says on top of an instrumentation comes first, then the conventions that instrumentations follow,
then what extends them, and the general keys last.
"""

from collectors.semconv import (
    flue,
    general,
    genkit,
    google_adk,
    laminar,
    langfuse,
    langsmith,
    langwatch,
    litellm,
    livekit,
    mastra,
    mlflow,
    openinference,
    openlit,
    opik,
    otel_genai,
    pydantic_ai,
    tgi,
    traceloop,
    trulens,
    vercel,
    vllm,
    weave,
)
from collectors.semconv.table import Index

DIALECTS = (
    langfuse.DIALECT,
    langwatch.DIALECT,
    laminar.DIALECT,
    weave.DIALECT,
    opik.DIALECT,
    langsmith.DIALECT,
    trulens.DIALECT,
    mastra.DIALECT,
    vercel.DIALECT,
    otel_genai.DIALECT,
    openinference.DIALECT,
    traceloop.DIALECT,
    mlflow.DIALECT,
    openlit.DIALECT,
    litellm.DIALECT,
    pydantic_ai.DIALECT,
    google_adk.DIALECT,
    livekit.DIALECT,
    genkit.DIALECT,
    flue.DIALECT,
    vllm.DIALECT,
    tgi.DIALECT,
    general.DIALECT,
)
INDEX = Index(DIALECTS)
