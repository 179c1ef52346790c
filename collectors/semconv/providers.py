"""Names of providers, folded to OpenTelemetry's `gen_ai.provider.name` values."""

_FOLDED = {
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google.vertex": "gcp.vertex_ai",
    "google_vertexai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google.generative-ai": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "google": "gcp.gen_ai",
    "az.ai.openai": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}
# Vercel's and others' `provider.api`, such as `openai.responses` and `anthropic.messages`.
_APIS = frozenset({"chat", "completion", "completions", "embedding", "embeddings", "messages", "responses", "image"})


def fold(name: str) -> str:
    """One spelling a provider; an unknown one stays, in lower case."""
    lower = name.lower()
    head, dot, api = lower.rpartition(".")
    if dot and api in _APIS:
        lower = head
    return _FOLDED.get(lower, lower)
