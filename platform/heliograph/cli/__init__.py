"""The `heliograph` command: one file a command, in this folder.

A file that holds `command`, a click command, is found by its name: `traces.py` is `heliograph traces`. Names that are
none here are those of Django's management commands (`up`, `demo`, `login_link`, ...). What a command of the API needs
is `heliograph.cli.frame`; none of these imports Django, so they start fast and run without the server.
"""

import importlib
import sys

# Where they come from, since the bare install is the SDK and has none of them.
_NEEDED = ("click", "httpx", "rich")


def main() -> None:
    """Run a command."""
    try:
        root = importlib.import_module("heliograph.cli.frame.root")
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        sys.exit(
            "The command line is not installed. Run: pip install 'heliograph[cli]' to ask a server,\n"
            "or: pip install 'heliograph[server,evaluators]' to be one."
        )
    root.run()
