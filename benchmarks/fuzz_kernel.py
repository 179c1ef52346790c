"""`python benchmarks/fuzz_kernel.py [--compare-every=N] [libFuzzer options]`: damaged requests through the kernel.

Needs `atheris` (libFuzzer for Python, Apache-2.0), which nothing else here does. It begins with recorded and made-up
requests and stops at the first input that crashes the kernel or that the kernel reads otherwise than Python; `-runs=N`
or `-max_total_time=S` bounds it.

An input's first byte says what the rest is: a body, a span, an attribute, its value, or the text of messages; what is
missing around it is added, so that damage reaches the depths and does not end at the first length that no longer fits.
Each input goes through the kernel, with what it asks of Python answered by constants (one row, and templates of it, so
that the kernel fills them for any shape of span), and what it read goes through its encoders. Of those that it read
without Python, every Nth (`--compare-every`, 50 by default; 1 compares each input, whatever the kernel did with it)
goes through the Python decoder and twice through the kernel as it serves, which must all agree.

Where clang compiled the kernel, libFuzzer is led by the branches that an input takes in it, and a sanitizer finds what
the language leaves undefined, or, with `address` and `asan_with_fuzzer.so` instead, reads beyond an end:

    CC=clang CFLAGS='-O2 -g -fsanitize=undefined -fno-sanitize-recover=undefined \\
        -fsanitize-coverage=inline-8bit-counters,pc-table' python hatch_build.py
    LD_PRELOAD="$(python -c 'import atheris; print(atheris.path())')/ubsan_with_fuzzer.so" \\
        python benchmarks/fuzz_kernel.py --native --compare-every=20 -runs=10000000

`--native` leaves libFuzzer to the preloaded library, where the kernel finds it. Build the kernel again afterwards.
"""

import gzip
import json
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from opentelemetry.proto.trace.v1.trace_pb2 import Span  # noqa: E402  # the path comes first

from collectors import kernel  # noqa: E402  # as above
from collectors.otlp import fast  # noqa: E402  # as above
from collectors.otlp.columns import SPAN_COLUMNS, SPAN_DEFAULTS  # noqa: E402  # as above
from collectors.otlp.errors import Malformed  # noqa: E402  # as above
from collectors.otlp.limits import Limits  # noqa: E402  # as above
from collectors.otlp.traces import DecodedSpans, decode  # noqa: E402  # as above
from collectors.semconv.dialects import INDEX  # noqa: E402  # as above
from tests.collectors.build import request, span  # noqa: E402  # as above

# A day that all recorded spans and those of `tests.collectors.build` are within reach of.
AT = 1_795_500_000_000_000_000
MAX_BYTES = 1_024
LIMITS = Limits()
OLDEST, NEWEST = LIMITS.oldest_ns(AT), LIMITS.newest_ns(AT)
BODY, SPAN, ATTRIBUTE, VALUE, MESSAGES = range(5)
# The kernel learns the keys of inputs; it begins afresh before its table is full.
MOST_KEYS = 20_000
MOST_TEMPLATES = 1_000
RATES = Decimal("0.0000025"), Decimal("0.00001")
ENCODED = [SPAN_COLUMNS.index(name) for name in ("attributes", "name", "input", "input_preview", "input_tokens")]
REPORT_EVERY = 100_000
MARKS = (b"score", b"gen_ai.evaluation")


def outcome(body: bytes, *, by_kernel: bool) -> DecodedSpans | str:
    """Return what a decoder makes of a body."""
    kernel.use(by_kernel)
    try:
        return decode(body, content_type="protobuf", limits=LIMITS, now_ns=AT, blobs_until="2099-01-05")
    except Malformed as error:
        return str(error)


def compare(body: bytes) -> None:
    """Fail where the decoders differ; the kernel reads twice, the second time by the templates of the first."""
    expected = outcome(body, by_kernel=False)
    for _ in range(2):
        assert outcome(body, by_kernel=True) == expected


def field(number: int, content: bytes) -> bytes:
    """Return a protobuf field of bytes; `number` is below 16."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def chat(each: int, number: int) -> Span:
    """Return a chat's span; with a higher `number` its messages are longer."""
    text = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "what " * number * 60}]}])
    return span(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.conversation.id": f"c{each}",
            "gen_ai.usage.input_tokens": each,
            "gen_ai.usage.output_tokens": number,
            "gen_ai.output.messages": text.replace("user", "assistant"),
            "http.status": 200.5,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.input.messages": text,
        },
        span_id=each + 1,
    )


class Frames:
    """What stands around an input's damaged part."""

    def __init__(self) -> None:
        self._resource = field(1, request().resource_spans[0].resource.SerializeToString())
        asks = chat(1, 1)
        del asks.attributes[-1]
        self._chat, self._bare = asks.SerializeToString(), span().SerializeToString()

    def body(self, data: bytes) -> bytes:
        """Return the request that an input stands for."""
        depth, content = data[0] % 5 if data else BODY, data[1:]
        if depth == BODY:
            return content
        if depth == ATTRIBUTE:
            content = self._bare + field(9, content)
        elif depth == VALUE:
            content = self._bare + field(9, field(1, b"a key") + field(2, content))
        elif depth == MESSAGES:
            content = self._chat + field(9, field(1, b"gen_ai.input.messages") + field(2, field(1, content)))
        return field(1, self._resource + field(2, field(2, content)))

    @staticmethod
    def seeds(bodies: list[bytes]) -> list[bytes]:
        """Return inputs to begin with, of each depth."""
        question = json.dumps([{"role": "user", "parts": [{"type": "text", "content": 'a "b" \\u00e9\n'}]}])
        attributes = [chat(1, 1).attributes[place] for place in (0, 3, 6, 7)]
        return [
            *(bytes([BODY]) + body for body in bodies),
            *(bytes([SPAN]) + chat(number, number).SerializeToString() for number in range(3)),
            *(bytes([ATTRIBUTE]) + each.SerializeToString() for each in attributes),
            *(bytes([VALUE]) + each.value.SerializeToString() for each in attributes),
            bytes([MESSAGES]) + question.encode(),
        ]


class Fuzzer:
    """The kernel alone for each input, and the decoders beside each other for some."""

    def __init__(self, bodies: list[bytes], every: int) -> None:
        self._every, self._frames = every, Frames()
        self._tried = self._read = self._without_python = self._compared = 0
        self._asked = False
        for body in bodies:
            compare(body)
        native = kernel.active()
        assert native is not None
        self._native, self._table = native, fast._table_of(INDEX)
        self._row = tuple(SPAN_DEFAULTS[name] for name in SPAN_COLUMNS)
        self._templates: dict[bytes, Any] = {}
        self._reader = self._begin()

    def _begin(self) -> Any:
        self._templates.clear()
        return self._native.Reader(SPAN_COLUMNS, self._table._class_of, self._templates, {"[]": "[]"})

    @staticmethod
    def _base_of(_resource: bytes, _scope: bytes) -> tuple[int, Any]:
        return 1, None

    def _read_span(self, _data: bytes, _base: Any, _place: int, key: bytes | None) -> Any:
        self._asked = True
        if key is not None:
            if len(self._templates) >= MOST_TEMPLATES:
                self._templates.clear()
            # Of each kind: named after a tool or not, and so on.
            self._templates[key] = self._row, RATES if len(key) % 2 else None, len(self._templates) % 8
        return self._row

    def __call__(self, data: bytes) -> None:
        """Try one input."""
        body = self._frames.body(data)
        self._asked = False
        if self._reader.keys > MOST_KEYS:
            self._reader = self._begin()
        answer = self._reader.read(
            body,
            self._base_of,
            self._read_span,
            len,
            [],
            oldest_ns=OLDEST,
            newest_ns=NEWEST,
            max_spans=LIMITS.max_spans,
            surely_fits=512,
            max_bytes=LIMITS.max_attribute_bytes,
            max_key_chars=LIMITS.max_key_chars,
            max_attributes=LIMITS.max_attributes,
            cuts_blobs=True,
        )
        self._tried += 1
        if answer is not None:
            self._read += 1
            self._encode([answer[0][place] for place in ENCODED], body)
            self._without_python += not self._asked
        if self._every == 1 or (answer is not None and not self._asked and self._without_python % self._every == 0):
            self._compared += 1
            compare(body)
        if self._tried % REPORT_EVERY == 0:
            print(
                f"{self._tried:,} inputs: {self._read:,} read by the kernel, {self._without_python:,} of them without "
                f"Python, {self._compared:,} compared with Python",
                flush=True,
            )

    def _encode(self, columns: list[list[Any]], body: bytes) -> None:
        """Let the kernel's other functions have what was read."""
        native = self._native
        attributes, names, inputs, previews, tokens = columns
        native.encode_maps(attributes)
        native.encode_strings(names)
        native.encode_low_cardinality(previews)
        native.encode_numbers(tokens, "I", True)
        native.mentions(body, MARKS)
        for texts, text in zip(attributes, inputs, strict=True):
            native.long_values(texts, 64)
            native.long_literals(text, 16)


def requests() -> list[bytes]:
    """Return requests to begin with, small ones: a span of each recorded request, and chats of one template."""
    made = [
        request(*(chat(each, number) for each in range(1 + number // 3))).SerializeToString() for number in range(4)
    ]
    made += [request(span()).SerializeToString()]
    for file in sorted((ROOT / "tests" / "collectors" / "recorded").glob("*.traces.*")):
        body = file.read_bytes()
        made.append(gzip.decompress(body) if file.suffix == ".gz" else body)
    return [body for body in made if len(body) < 4 * MAX_BYTES]


def main() -> None:
    """Fuzz."""
    assert kernel.active(), kernel.MISSING
    options = [option for option in sys.argv[1:] if option.startswith("-") and not option.startswith("--")]
    every = [int(option.partition("=")[2]) for option in sys.argv if option.startswith("--compare-every=")]
    fuzzer = Fuzzer(requests(), every[0] if every else 50)
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(Frames.seeds(requests())):
            fuzzer(data)
            (Path(folder) / str(number)).write_bytes(data)
        arguments = [sys.argv[0], *options, f"-max_len={MAX_BYTES}", "-len_control=0", folder]
        atheris.Setup(arguments, fuzzer, internal_libfuzzer="--native" not in sys.argv)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
