"""Addresses below /api/."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView

from heliograph.api import views

urlpatterns = [
    path("schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("v1/traces", views.TracesView.as_view(), name="api-traces"),
    path("v1/traces/<str:trace_id>", views.TraceView.as_view(), name="api-trace"),
    path("v1/traces/<str:trace_id>/spans/<str:span_id>", views.SpanView.as_view(), name="api-span"),
    re_path(
        r"^v1/blobs/(?P<until>\d{4}-\d\d-\d\d)/(?P<digest>[0-9a-f]{64})$", views.BlobView.as_view(), name="api-blob"
    ),
    path("v1/spans", views.SpansView.as_view(), name="api-spans"),
    path("v1/metrics/query", views.MetricsView.as_view(), name="api-metrics"),
    path("v1/scores", views.ScoresView.as_view(), name="api-scores"),
    re_path(r"^", views.UnknownView.as_view()),
]
