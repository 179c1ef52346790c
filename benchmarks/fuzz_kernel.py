"""`python benchmarks/fuzz_kernel.py [libFuzzer options]`: damaged requests through both decoders, until they differ.

Needs `atheris` (libFuzzer for Python, Apache-2.0), which nothing else here does. It begins with recorded and made-up
requests and stops at the first input that crashes the kernel or that the kernel reads otherwise than Python; `-runs=N`
or `-max_total_time=S` bounds it. Compiled with `CFLAGS='-fsanitize=address,undefined' python hatch_build.py` and run
under the sanitizers' libraries, it also finds reads beyond an end (docs/adr/0020).
"""

import gzip
import json
import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

# What Python does with an input tells libFuzzer what is new about it; a kernel made by gcc does not.
with atheris.instrument_imports(include=["collectors.otlp", "collectors.semconv"]):
    from collectors import kernel
    from collectors.otlp.errors import Malformed
    from collectors.otlp.limits import Limits
    from collectors.otlp.traces import DecodedSpans, decode
    from tests.collectors.build import request, span

# A day that all recorded spans and those of `tests.collectors.build` are within reach of.
AT = 1_795_500_000_000_000_000
MAX_BYTES = 4_096


def outcome(body: bytes, *, by_kernel: bool) -> DecodedSpans | str:
    """Return what a decoder makes of a body."""
    kernel.use(by_kernel)
    try:
        return decode(body, content_type="protobuf", limits=Limits(), now_ns=AT, blobs_until="2099-01-05")
    except Malformed as error:
        return str(error)


def compare(body: bytes) -> None:
    """Fail where the decoders differ; the kernel reads twice, the second time by the templates of the first."""
    expected = outcome(body, by_kernel=False)
    for _ in range(2):
        assert outcome(body, by_kernel=True) == expected


def write_seeds(folder: Path) -> None:
    """Write requests to begin with, small ones: a span of each recorded request, and chats of one template."""
    made = {}
    for number in range(6):
        text = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "what " * number * 60}]}])
        spans = [
            span(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": "gpt-4o",
                    "gen_ai.conversation.id": f"c{each}",
                    "gen_ai.usage.input_tokens": each,
                    "gen_ai.usage.output_tokens": number,
                    "gen_ai.input.messages": text,
                    "gen_ai.output.messages": text.replace("user", "assistant"),
                    "http.status": 200.5,
                    "gen_ai.response.finish_reasons": ["stop"],
                },
                span_id=each + 1,
            )
            for each in range(1 + number // 3)
        ]
        made[f"chat-{number}"] = request(*spans).SerializeToString()
    for file in sorted((ROOT / "tests" / "collectors" / "recorded").glob("*.traces.*")):
        body = file.read_bytes()
        body = gzip.decompress(body) if file.suffix == ".gz" else body
        if len(body) <= MAX_BYTES:
            made[file.name] = body
    for name, body in made.items():
        compare(body)
        (folder / name).write_bytes(body)


def main() -> None:
    """Fuzz."""
    assert kernel.active(), kernel.MISSING
    with tempfile.TemporaryDirectory() as folder:
        write_seeds(Path(folder))
        atheris.Setup([*sys.argv, f"-max_len={MAX_BYTES}", "-len_control=0", folder], compare)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
