import threading

import pytest
import torch
from torch import nn

from evaluators.models import Loaded, ModelCache, hash_files


def model(size, device="cpu"):
    return Loaded(nn.Linear(size, 1, bias=False), None, f"m{size}", "r", torch.device(device), torch.float32)


def test_the_least_recently_used_model_makes_room():
    cache = ModelCache(budget=4 * 25)
    first = cache.get("a", lambda: model(10))
    cache.get("b", lambda: model(10))
    assert cache.get("a", lambda: model(99)) is first
    cache.get("c", lambda: model(10))
    assert cache.get("a", lambda: model(99)) is first
    assert len(cache) == 2
    assert cache.get("b", lambda: model(3)).name == "m3"


def test_a_model_larger_than_the_budget_is_still_served():
    cache = ModelCache(budget=8)
    assert cache.get("big", lambda: model(1000)).bytes == 4000
    assert len(cache) == 1


def test_a_model_asked_for_by_two_threads_is_loaded_once():
    cache, loads, found = ModelCache(), [], []
    both = threading.Barrier(2)

    def ask():
        both.wait(5)
        found.append(cache.get("m", lambda: loads.append(1) or model(4)))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(loads) == 1
    assert found[0] is found[1]


def test_a_model_that_fails_to_load_is_tried_again():
    cache = ModelCache()

    def fail():
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        cache.get("m", fail)
    assert cache.get("m", lambda: model(4)).name == "m4"


def test_a_revision_changes_with_one_byte_of_the_weights(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"\x00" * 64)
    before = hash_files([file])
    assert before == hash_files([file])
    file.write_bytes(b"\x00" * 63 + b"\x01")
    assert hash_files([file]) != before
    assert len(before) == 12
