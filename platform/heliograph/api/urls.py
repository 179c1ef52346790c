"""Addresses below /api/."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView

from heliograph.api import (
    adapters,
    attribution,
    conventions,
    gpus,
    hardware,
    ingest,
    models,
    prices,
    redaction,
    views,
)

urlpatterns = [
    path("schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("v1/traces", views.TracesView.as_view(), name="api-traces"),
    path("v1/traces/<str:trace_id>", views.TraceView.as_view(), name="api-trace"),
    path("v1/traces/<str:trace_id>/where", attribution.WhereView.as_view(), name="api-trace-where"),
    path("v1/attribution", attribution.AttributionView.as_view(), name="api-attribution"),
    path("v1/attribution/policy", attribution.PolicyView.as_view(), name="api-attribution-policy"),
    path("v1/gpu-prices", attribution.GpuPricesView.as_view(), name="api-gpu-prices"),
    path("v1/gpu-prices/<int:price_id>", attribution.GpuPriceView.as_view(), name="api-gpu-price"),
    path("v1/traces/<str:trace_id>/spans/<str:span_id>", views.SpanView.as_view(), name="api-span"),
    path(
        "v1/traces/<str:trace_id>/spans/<str:span_id>/mapping",
        conventions.SpanMappingView.as_view(),
        name="api-span-mapping",
    ),
    re_path(
        r"^v1/blobs/(?P<until>\d{4}-\d\d-\d\d)/(?P<digest>[0-9a-f]{64})$", views.BlobView.as_view(), name="api-blob"
    ),
    path("v1/spans", views.SpansView.as_view(), name="api-spans"),
    path("v1/metrics/query", views.MetricsView.as_view(), name="api-metrics"),
    path("v1/adapters", adapters.AdaptersView.as_view(), name="api-adapters"),
    path("v1/adapters/residency", adapters.ResidencyView.as_view(), name="api-adapters-residency"),
    path("v1/adapters/cost", adapters.CostView.as_view(), name="api-adapters-cost"),
    path("v1/goodput", hardware.GoodputView.as_view(), name="api-goodput"),
    path("v1/serving/use", hardware.EngineUseView.as_view(), name="api-serving-use"),
    path("v1/calculator", hardware.CalculatorView.as_view(), name="api-calculator"),
    path("v1/calculator/zero", hardware.ZeroView.as_view(), name="api-calculator-zero"),
    path("v1/scores", views.ScoresView.as_view(), name="api-scores"),
    path("v1/gpus", gpus.GpusView.as_view(), name="api-gpus"),
    path("v1/gpus/events", gpus.GpuEventsView.as_view(), name="api-gpu-events"),
    path("v1/gpus/<str:gpu_uuid>", gpus.GpuView.as_view(), name="api-gpu"),
    path("v1/gpus/<str:gpu_uuid>/series", gpus.GpuSeriesView.as_view(), name="api-gpu-series"),
    path("v1/gpus/<str:gpu_uuid>/requests", gpus.GpuRequestsView.as_view(), name="api-gpu-requests"),
    path("v1/models", models.ModelsView.as_view(), name="api-models"),
    path("v1/engines", gpus.EnginesView.as_view(), name="api-engines"),
    path("v1/ingest/ledger", ingest.LedgerView.as_view(), name="api-ingest-ledger"),
    path("v1/ingest/dead-letters", ingest.LettersView.as_view(), name="api-dead-letters"),
    path("v1/ingest/dead-letters/<str:letter_id>", ingest.OneLetterView.as_view(), name="api-dead-letter"),
    path("v1/ingest/dead-letters/<str:letter_id>/body", ingest.LetterBodyView.as_view(), name="api-dead-letter-body"),
    path(
        "v1/ingest/dead-letters/<str:letter_id>/replay",
        ingest.LetterReplayView.as_view(),
        name="api-dead-letter-replay",
    ),
    path("v1/ingest/limits", ingest.LimitsView.as_view(), name="api-ingest-limits"),
    path("v1/ingest/limits/keys/<int:key_id>", ingest.KeyLimitsView.as_view(), name="api-ingest-key-limits"),
    path("v1/prices", prices.PricesView.as_view(), name="api-prices"),
    path("v1/prices/unpriced", prices.UnpricedView.as_view(), name="api-prices-unpriced"),
    path("v1/prices/<int:price_id>", prices.PriceView.as_view(), name="api-price"),
    path("v1/conventions/fields", conventions.FieldsView.as_view(), name="api-mappable-fields"),
    path("v1/conventions/rules", conventions.RulesView.as_view(), name="api-mapping-rules"),
    path("v1/conventions/rules/<str:rule_id>", conventions.RuleView.as_view(), name="api-mapping-rule"),
    path("v1/conventions/preview", conventions.PreviewView.as_view(), name="api-mapping-preview"),
    path("v1/conventions/unmapped", conventions.UnmappedView.as_view(), name="api-unmapped-keys"),
    path("v1/conventions/revisions", conventions.RevisionsView.as_view(), name="api-mapping-revisions"),
    path("v1/conventions/reapplications", conventions.ReapplicationsView.as_view(), name="api-reapplications"),
    path(
        "v1/conventions/reapplications/<int:job_id>", conventions.ReapplicationView.as_view(), name="api-reapplication"
    ),
    path(
        "v1/conventions/reapplications/<int:job_id>/cancel",
        conventions.CancelView.as_view(),
        name="api-reapplication-cancel",
    ),
    path("v1/redaction/rules", redaction.RedactionRulesView.as_view(), name="api-redaction-rules"),
    path("v1/redaction/rules/<int:rule_id>", redaction.RedactionRuleView.as_view(), name="api-redaction-rule"),
    path("v1/redaction/rules/<int:rule_id>/move", redaction.RedactionMoveView.as_view(), name="api-redaction-move"),
    path("v1/redaction/trial", redaction.RedactionTrialView.as_view(), name="api-redaction-trial"),
    re_path(r"^", views.UnknownView.as_view()),
]
