"""The dialects in order of precedence: where two name one field, the earlier is believed."""

from collectors.semconv import general, openinference, otel_genai
from collectors.semconv.table import Index

DIALECTS = (
    otel_genai.DIALECT,
    openinference.DIALECT,
    general.DIALECT,
)
INDEX = Index(DIALECTS)
