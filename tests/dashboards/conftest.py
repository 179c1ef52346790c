"""Pages are rendered without `collectstatic`, so static files keep their plain names."""

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def plain_static_names(settings: Settings) -> None:
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": backend}}
