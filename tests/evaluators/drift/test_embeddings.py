"""Embedding drift: right verdicts, calibrated p-values, bounded paths, and windows that have no variation."""

from pathlib import Path

import numpy as np
import pytest

from evaluators.drift import detect
from evaluators.drift.embeddings import TESTS

ALL = sorted(TESTS)


def cloud(n: int, d: int = 16, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    sample = np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)
    return sample + np.float32(shift)


@pytest.mark.parametrize("test", ALL)
def test_a_shift_is_found_and_its_effect_grows(test: str) -> None:
    small = detect(cloud(200), cloud(200, seed=1, shift=0.3), test=test)
    large = detect(cloud(200), cloud(200, seed=1, shift=1.0), test=test)
    assert small.verdict == large.verdict == "drift"
    assert 0 < small.effect < large.effect <= 1.5


@pytest.mark.parametrize("test", ALL)
def test_false_alarms_stay_near_alpha(test: str) -> None:
    alarms = sum(
        detect(cloud(60, seed=s), cloud(80, seed=1000 + s), test=test, seed=s, permutations=99).verdict == "drift"
        for s in range(200)
    )
    # Binomial(200, 0.05): 0 to 21 covers all but one run in 2,000.
    assert alarms <= 21


@pytest.mark.parametrize("test", ALL)
def test_the_same_seed_gives_the_same_result(test: str) -> None:
    a, b = cloud(50), cloud(50, seed=1)
    assert detect(a, b, test=test, seed=3) == detect(a, b, test=test, seed=3)


@pytest.mark.parametrize("test", ALL)
def test_identical_windows_are_no_drift(test: str) -> None:
    a = cloud(100)
    found = detect(a, a.copy(), test=test)
    assert found.verdict == "no_drift"
    assert found.p_value > 0.3


@pytest.mark.parametrize("test", ALL)
def test_constant_windows_are_no_drift(test: str) -> None:
    found = detect(np.full((30, 8), 0.1), np.full((40, 8), 0.1), test=test)
    assert found.verdict == "no_drift"
    # The neighbours of coinciding points are drawn by lot; every other test sees no difference at all.
    assert test == "knn" or found.p_value == 1.0


@pytest.mark.parametrize("test", ALL)
def test_two_different_constants_are_drift(test: str) -> None:
    assert detect(np.zeros((30, 8)), np.ones((40, 8)), test=test).verdict == "drift"


def test_unequal_sizes_and_the_smallest_windows_have_a_p_value() -> None:
    assert detect(cloud(300), cloud(20, seed=2, shift=1.5)).verdict == "drift"
    assert detect(cloud(2), cloud(2, seed=1, shift=50.0)).verdict == "no_drift"


def test_mmd_is_the_textbook_estimate() -> None:
    a, b = cloud(12, 3).astype(np.float64), cloud(9, 3, seed=4, shift=0.5).astype(np.float64)
    found = detect(a, b)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / found.details["bandwidth_squared"])

    inside = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    assert found.statistic == pytest.approx(sum(inside) - 2 * kernel(a, b).mean(), abs=1e-5)


def test_energy_is_the_textbook_estimate() -> None:
    a, b = cloud(12, 3).astype(np.float64), cloud(9, 3, seed=4, shift=0.5).astype(np.float64)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))

    inside = [distance(x, x).sum() / (len(x) * (len(x) - 1)) for x in (a, b)]
    assert detect(a, b, test="energy").statistic == pytest.approx(2 * distance(a, b).mean() - sum(inside), abs=1e-4)


def test_large_windows_go_through_random_features_and_agree_with_the_exact_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = cloud(800), cloud(800, seed=1, shift=0.2)
    exact = detect(a, b)
    monkeypatch.setattr("evaluators.drift.embeddings.MAX_EXACT", 500)
    approximate = detect(a, b)
    assert approximate.details["approximation"].startswith("random features")
    assert approximate.statistic == pytest.approx(exact.statistic, rel=0.2)
    assert approximate.verdict == exact.verdict == "drift"
    assert detect(a, cloud(800, seed=7)).verdict == "no_drift"
    for test in ("energy", "knn"):
        assert "subsample" in detect(a, b, test=test).details["approximation"]


def test_a_memory_mapped_half_precision_file_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", cloud(50).astype(np.float16))
    window = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert detect(window, cloud(50, seed=1)).verdict == "no_drift"


def test_a_small_effect_can_be_declared_irrelevant() -> None:
    a, b = cloud(500), cloud(500, seed=1, shift=0.2)
    assert detect(a, b).verdict == "drift"
    assert detect(a, b, min_effect=0.9).verdict == "no_drift"


@pytest.mark.parametrize(
    ("reference", "current", "settings", "message"),
    [
        (np.zeros(4), np.zeros((4, 2)), {}, r"\(n, d\)"),
        (np.zeros((4, 2)), np.zeros((4, 3)), {}, "width"),
        (np.zeros((1, 2)), np.zeros((4, 2)), {}, "two rows"),
        (np.zeros((4, 0)), np.zeros((4, 0)), {}, "two rows"),
        (np.full((4, 2), np.nan), np.zeros((4, 2)), {}, "reference holds"),
        (np.zeros((4, 2)), np.full((4, 2), np.inf), {}, "current holds"),
        (np.array([["a", "b"]] * 3), np.zeros((4, 2)), {}, "real"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"test": "magic"}, "unknown test"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"alpha": 1.5}, "alpha"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"permutations": 0}, "permutation"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"permutations": 10**9}, "exceed"),
    ],
)
def test_unusable_input_is_refused(reference: np.ndarray, current: np.ndarray, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detect(reference, current, **settings)
