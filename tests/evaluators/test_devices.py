import pytest
import torch

from evaluators import devices


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(devices.DeviceError, match="no device is called"):
        devices.choose_device("abacus")
    with pytest.raises(devices.DeviceError, match="cuda:63"):
        devices.choose_device("cuda:63")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx2"}, torch.float32), ({"avx512_bf16"}, torch.bfloat16), ({"amx_bf16", "avx2"}, torch.bfloat16)],
)
def test_bfloat16_only_where_the_processor_multiplies_it(monkeypatch, flags, expected):
    monkeypatch.setattr(devices, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    assert devices.choose_dtype(torch.device("cpu")) == expected


def test_a_processor_of_another_kind_keeps_float32(monkeypatch):
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert devices.choose_dtype(torch.device("cpu")) == torch.float32


def test_the_memory_budget_is_a_share_of_what_there_is():
    assert 2**28 < devices.memory_budget(torch.device("cpu")) < 2**46
