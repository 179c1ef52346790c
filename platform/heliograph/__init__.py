"""Observability and evaluation for LLM systems. `heliograph.evaluate` is loaded when it is asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliograph.sdk.evaluation import evaluate

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate"]

# The server imports this package, and has no use for the SDK.
_LAZY = {"evaluate": "heliograph.sdk.evaluation"}


def __getattr__(name: str) -> Any:
    """Return what the SDK offers at the top."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
