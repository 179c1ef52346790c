"""The web process: OTLP, health and static files by Starlette, everything else by Django.

`python -m heliograph.asgi` serves it; any other ASGI server may serve `application` behind a proxy.
"""

import argparse
import os
import re
from typing import Any

import uvicorn
from django.core.asgi import get_asgi_application

from heliograph import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
# Under any server, and before Django's handler reads its middleware.
telemetry.start("web")
# First, since the imports below read models.
_django = get_asgi_application()

from django.conf import settings  # noqa: E402  # after Django is set up
from starlette.applications import Starlette  # noqa: E402  # as above
from starlette.responses import Response  # noqa: E402  # as above
from starlette.routing import Mount  # noqa: E402  # as above
from starlette.staticfiles import StaticFiles  # noqa: E402  # as above

from heliograph.dashboards.installation_metrics import InstallationMetrics  # noqa: E402  # as above
from heliograph.ingest import exposition, health, http, sockets  # noqa: E402  # as above

# Requests in flight are pages, which end by the limit of their queries, and exports, which wait for a commit.
STOP_SECONDS = 10

# What ManifestStaticFilesStorage puts into a name: the content can never change under it.
_HASHED_NAME = re.compile(r"\.[0-9a-f]{12}\.[^/]+$")


class _CachedStaticFiles(StaticFiles):
    """Files with a hash in their name are kept for good; others are asked for again, which an ETag makes cheap."""

    def file_response(self, full_path: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(full_path, *args, **kwargs)
        is_hashed = _HASHED_NAME.search(str(full_path))
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        response.headers["x-content-type-options"] = "nosniff"
        return response


application = Starlette(
    routes=[
        *http.routes(),
        *health.routes(),
        *exposition.routes(InstallationMetrics()),
        # `collectstatic` may not have run yet, which is no reason not to start.
        Mount(settings.STATIC_URL.rstrip("/"), _CachedStaticFiles(directory=settings.STATIC_ROOT, check_dir=False)),
        Mount("/", _django),  # type: ignore[arg-type]  # django-stubs spell the same protocol with plain dicts
    ],
    lifespan=http.lifespan,
)


def main() -> None:
    """Serve until SIGTERM or SIGINT; then refuse new requests, store what waits, and return."""
    parser = argparse.ArgumentParser(prog="python -m heliograph.asgi", description=main.__doc__)
    parser.add_argument("--port", type=int, default=settings.PORT, help="0 takes a free one")
    options = parser.parse_args()
    sockets.raise_descriptor_limit()
    uvicorn.run(
        application,
        host=settings.HOST,
        port=options.port,
        http=sockets.HttpProtocol,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


if __name__ == "__main__":
    main()
