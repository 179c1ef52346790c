"""Run by drift.py in another environment: alibi-detect's and Evidently's embedding drift over a folder of windows.

alibi-detect 0.11.4 is the last one under Apache-2.0; it needs numpy < 2 and scipy < 1.12 (`pip install --no-deps
alibi-detect==0.11.4`, since its other bounds have no Python 3.11). Evidently 0.7 needs pandas < 3 here.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")


def alibi_mmd(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(MMDDrift(a, backend="pytorch", p_val=0.05, n_permutations=100).predict(b)["data"]["is_drift"])


def evidently(method: str) -> Callable[[np.ndarray, np.ndarray], bool]:
    def run(a: np.ndarray, b: np.ndarray) -> bool:
        columns = [f"e{i}" for i in range(a.shape[1])]
        frames = [pd.DataFrame(x, columns=columns) for x in (a, b)]
        chosen = {
            "model": embedding_methods.model,
            "ratio": embedding_methods.ratio,
            "distance": embedding_methods.distance,
        }
        _, drifted, _ = chosen[method]()(*frames)
        return bool(drifted)

    return run


def main() -> None:
    windows = []
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        stored = np.load(path)
        windows.append((stored["arr_0"], stored["arr_1"]))
    results = {}
    for name, test in DETECTORS.items():
        alarms, cpu = 0, 0.0
        for a, b in windows:
            start = time.process_time()
            alarms += test(a, b)
            cpu += time.process_time() - start
        results[name] = {"alarms": alarms, "cpu": cpu}
    print(json.dumps(results))


DETECTORS: dict[str, Callable[[np.ndarray, np.ndarray], bool]] = {}
try:
    import torch
    from alibi_detect.cd import MMDDrift

    torch.set_num_threads(1)
    DETECTORS["alibi-detect MMDDrift (100 perms)"] = alibi_mmd
except ImportError as error:
    sys.stderr.write(f"alibi-detect left out: {error}\n")
try:
    import pandas as pd
    from evidently.legacy.metrics.data_drift import embedding_drift_methods as embedding_methods

    for method in ("model", "ratio", "distance"):
        DETECTORS[f"Evidently {method} (its default)"] = evidently(method)
except ImportError as error:
    sys.stderr.write(f"Evidently left out: {error}\n")

if __name__ == "__main__":
    main()
