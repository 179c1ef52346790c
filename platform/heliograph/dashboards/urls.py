"""The pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path, re_path

from heliograph.dashboards import (
    blobs,
    calculator,
    conventions,
    entrance,
    evaluations,
    ingest,
    ingest_limits,
    overview,
    prices,
    project_settings,
    reapplications,
    trace,
    traces,
)

urlpatterns = [
    path("", entrance.home, name="home"),
    path(
        "login",
        LoginView.as_view(template_name="accounts/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("login/link", entrance.login_link, name="login-link"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("p/<slug:slug>/", overview.show, name="overview"),
    path("p/<slug:slug>/traces", traces.show, name="traces"),
    path("p/<slug:slug>/traces/<str:trace_id>", trace.show, name="trace"),
    path("p/<slug:slug>/traces/<str:trace_id>/spans/<str:span_id>", trace.show_span, name="trace-span"),
    path(
        "p/<slug:slug>/traces/<str:trace_id>/spans/<str:span_id>/evidence", trace.show_evidence, name="trace-evidence"
    ),
    re_path(
        r"^p/(?P<slug>[-a-zA-Z0-9_]+)/blobs/(?P<until>\d{4}-\d\d-\d\d)/(?P<digest>[0-9a-f]{64})$",
        blobs.show,
        name="blob",
    ),
    path("p/<slug:slug>/evaluations", evaluations.show, name="evaluations"),
    path("p/<slug:slug>/evaluations/drift", evaluations.request_drift, name="evaluations-drift"),
    path("p/<slug:slug>/evaluations/regression", evaluations.request_regression, name="evaluations-regression"),
    path("p/<slug:slug>/evaluations/runs/<int:run_id>", evaluations.show_run, name="evaluations-run"),
    path("p/<slug:slug>/gpus/calculator", calculator.show, name="gpus-calculator"),
    path("p/<slug:slug>/ingest", ingest.show, name="ingest"),
    path("p/<slug:slug>/ingest/letters/<str:letter_id>", ingest.show_letter, name="ingest-letter"),
    path("p/<slug:slug>/ingest/letters/<str:letter_id>/body", ingest.download_letter, name="ingest-letter-body"),
    path("p/<slug:slug>/ingest/letters/<str:letter_id>/replay", ingest.replay_letter, name="ingest-letter-replay"),
    path("p/<slug:slug>/ingest/letters/<str:letter_id>/delete", ingest.delete_letter, name="ingest-letter-delete"),
    path("p/<slug:slug>/settings", project_settings.show, name="settings"),
    path("p/<slug:slug>/settings/prices", prices.show, name="settings-prices"),
    path("p/<slug:slug>/settings/prices/save", prices.save, name="settings-prices-save"),
    path("p/<slug:slug>/settings/prices/apply", prices.apply, name="settings-prices-apply"),
    path("p/<slug:slug>/settings/prices/<int:price_id>/remove", prices.remove, name="settings-prices-remove"),
    path("p/<slug:slug>/settings/conventions", conventions.show, name="settings-conventions"),
    path("p/<slug:slug>/settings/conventions/save", conventions.save, name="settings-conventions-save"),
    path(
        "p/<slug:slug>/settings/conventions/conversions",
        conventions.conversions,
        name="settings-conventions-conversions",
    ),
    path("p/<slug:slug>/settings/conventions/preview", conventions.show_preview, name="settings-conventions-preview"),
    path(
        "p/<slug:slug>/settings/conventions/rules/<str:rule_id>/switch",
        conventions.switch,
        name="settings-conventions-switch",
    ),
    path(
        "p/<slug:slug>/settings/conventions/rules/<str:rule_id>/remove",
        conventions.remove,
        name="settings-conventions-remove",
    ),
    path("p/<slug:slug>/settings/conventions/jobs", reapplications.show, name="settings-conventions-jobs"),
    path("p/<slug:slug>/settings/conventions/jobs/start", reapplications.start, name="settings-conventions-reapply"),
    path(
        "p/<slug:slug>/settings/conventions/jobs/<int:job_id>/cancel",
        reapplications.cancel,
        name="settings-conventions-cancel",
    ),
    path("p/<slug:slug>/settings/limits", ingest_limits.change_project, name="settings-limits"),
    path("p/<slug:slug>/settings/keys/<int:key_id>/limits", ingest_limits.change_key, name="settings-key-limits"),
    path("p/<slug:slug>/settings/keys", project_settings.create_key, name="settings-create-key"),
    path("p/<slug:slug>/settings/keys/<int:key_id>/revoke", project_settings.revoke_key, name="settings-revoke-key"),
    path("p/<slug:slug>/settings/password", project_settings.change_password, name="settings-password"),
]
