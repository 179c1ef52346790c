"""The `drift` command."""

from __future__ import annotations

import argparse
import pkgutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.drift.any_kind import TEXTS, detect_any, explain_any
from evaluators.drift.text_statistics import Embed
from evaluators.errors import UsageError
from evaluators.jsonl import to_json


def command(options: argparse.Namespace) -> int:
    """Print one result; 0 whatever the verdict. Raises UsageError for windows or settings that cannot be used."""
    windows = [_window(path) for path in (options.reference, options.current)]
    settings: dict[str, Any] = {"alpha": options.alpha, "seed": options.seed, "min_effect": options.min_effect}
    if options.permutations is not None:
        settings["permutations"] = options.permutations
    is_texts = options.test == TEXTS
    if is_texts and options.explain:
        settings["embed"] = _embedder(options.device)
    try:
        row = detect_any(*windows, test=options.test, device=options.device, **settings).as_dict()
        if options.explain and not is_texts:
            row["clusters"] = explain_any(*windows, seed=options.seed, device=options.device)
    except ValueError as error:
        raise UsageError(str(error)) from error
    sys.stdout.write(to_json(row) + "\n")
    return 0


def _embedder(device: str | None) -> Embed:
    # Resolved when asked for: the other tests need no language model.
    return partial(pkgutil.resolve_name("evaluators.embedding:embed"), device=device)


def _window(path: Path) -> np.ndarray[Any, Any]:
    try:
        # Mapped, not read: a window may be larger than memory. Pickles run code and are refused.
        window: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UsageError(f"{path} is not a .npy array of numbers or strings: {error}") from error
    if not isinstance(window, np.ndarray):
        raise UsageError(f"{path} holds several arrays; save one array with numpy.save")
    return window
