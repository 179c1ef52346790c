#!/usr/bin/env python
"""Django's command line, from a checkout."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
# platform/ is on the path instead of being a package: a package of that name would shadow the standard library's.
sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")

from django.core.management import execute_from_command_line  # noqa: E402  # the path must be set first

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
