"""Every address of the web application. OTLP paths are not here: `heliograph.asgi` serves them beside Django."""

from django.urls import include, path

urlpatterns = [
    path("api/", include("heliograph.api.urls")),
    path("", include("heliograph.dashboards.urls")),
]
