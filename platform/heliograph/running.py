"""Whether `heliograph up` runs on this machine's data folder."""

import os

from django.conf import settings


def is_up() -> bool:
    """Say whether the supervisord whose number is in the data folder is there."""
    try:
        os.kill(int((settings.DATA_DIR / "supervisord.pid").read_text(encoding="utf-8")), 0)
    except (OSError, ValueError):
        return False
    return True
