"""The constructed page of SGLang 0.5.23 against the names that its wheel from PyPI defines.

No engine runs where the tests run. `names/` holds every `sglang:` name in the wheel's Python files (sglang-0.5.23, read
on 2026-11-28); vLLM's wheel (half a gigabyte) was not read again, and TGI, LoRAX, llama.cpp and Triton have none.
"""

import re
from pathlib import Path

from collectors.serving.sglang import ENGINE
from tests.serving.scrapes import page

DEFINED = {
    name.removesuffix("_total") for name in (Path(__file__).parent / "names/sglang-0.5.23.txt").read_text().split()
}
# Names of versions before 0.5, which their ways are marked with.
OLDER = {"sglang:inter_token_latency", "sglang:time_per_output_token_seconds"}


def test_every_family_of_the_page_is_one_that_the_wheel_defines() -> None:
    families = re.findall(r"^# TYPE (\S+)", page("sglang-0.5.23").decode(), re.MULTILINE)
    # The client library adds the time of creation to each counter and histogram.
    own = {name.removesuffix("_total") for name in families if not name.endswith("_created")}
    assert own
    assert own <= DEFINED


def test_every_name_that_the_canonical_metrics_need_is_one_too() -> None:
    assert {name.removesuffix("_total") for name in ENGINE.needed} - OLDER <= DEFINED
