"""What a check is told to overlook has its reason beside it."""

import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("platform", "collectors", "evaluators", "gpu_agent", "personal_data", "serving_math", "benchmarks")
_OVERLOOKED = re.compile(r"# (?:noqa|type: ignore|pragma)\b[^#(]*(?P<reason>[#(] *\w.*)?")


def test_every_suppression_says_why() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{token.start[0]}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
        if token.type == tokenize.COMMENT and (found := _OVERLOOKED.search(token.string)) and not found["reason"]
    ]
    assert bare == []
