"""The `heliograph` command."""

import os
import sys


def main() -> None:
    """Run one of Heliograph's commands (`up`, `demo`, ...) or one of Django's."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    try:
        # The SDK alone is installed without Django, and then this command can only say so.
        from django.core.management import execute_from_command_line  # noqa: PLC0415
    except ImportError:
        sys.exit("The server is not installed. Run: pip install 'heliograph[server,evaluators]'")
    execute_from_command_line(["heliograph", *sys.argv[1:]])


if __name__ == "__main__":
    main()
