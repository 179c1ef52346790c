"""Nothing is cut in silence: whatever a span brings is stored whole, or its place is named with its original size."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collectors.otlp.limits import Limits
from collectors.otlp.traces import decode
from collectors.text import to_text
from tests.collectors.build import NOW, START, decode_spans, pairs, request, span

pytestmark = pytest.mark.usefixtures("decoder")

LIMITS = replace(Limits(), max_attributes=6, max_attribute_bytes=600, max_events=2, max_links=2, max_key_chars=40)
_sizes = st.sampled_from([0, 1, 100, 511, 512, 513, 599, 600, 601, 2_000])
_texts = st.builds(lambda letter, size: letter * size, st.sampled_from(["x", "é", "𝄞", '"']), _sizes)
_values = (
    _texts | st.integers(-5, 5) | st.booleans() | st.lists(_texts, max_size=3) | st.dictionaries(st.just("k"), _texts)
)
_keys = st.sampled_from(["a", "b.c", "gen_ai.prompt", "input.value", "user.id", "k" * 40, "k" * 41, "é" * 200])
_attributes = st.dictionaries(_keys, _values, max_size=8)
_names = st.builds(lambda size: "n" * size, _sizes)


def size_of(text: str) -> int:
    return len(text.encode())


def check_text(stored: str, came: str, name: str, cuts: dict[str, int]) -> None:
    if stored != came:
        assert name in cuts, name
        assert cuts[name] == size_of(came)
        assert came.startswith(stored)


def check_attributes(stored: dict[str, str], came: dict[str, Any], cuts: dict[str, int]) -> None:
    for key, value in came.items():
        if key not in stored:
            assert cuts["attributes"] == len(came)
        elif stored[key] != to_text(value):
            assert key in cuts
            assert to_text(value).startswith(stored[key])


@given(
    attributes=_attributes,
    resource=_attributes,
    events=st.lists(st.tuples(_names, _attributes), max_size=4),
    links=st.integers(0, 4),
    names=st.fixed_dictionaries({"name": _names, "trace_state": _names, "scope_name": _names, "scope_version": _names}),
    message=st.sampled_from([0, 100, 16_384, 16_385, 40_000]),
)
def test_everything_is_stored_whole_or_named_as_cut(
    attributes: dict[str, Any],
    resource: dict[str, Any],
    events: list[tuple[str, dict[str, Any]]],
    links: int,
    names: dict[str, str],
    message: int,
) -> None:
    made = span(attributes, name=names["name"], trace_state=names["trace_state"])
    made.status.message = "m" * message
    for name, values in events:
        made.events.add(time_unix_nano=START, name=name).attributes.extend(pairs(values))
    for number in range(links):
        made.links.append(Span.Link(trace_id=bytes([number + 1] * 16), span_id=bytes([number + 1] * 8)))
    body = request(made, resource=resource)
    scope = body.resource_spans[0].scope_spans[0].scope
    scope.name, scope.version = names["scope_name"], names["scope_version"]
    columns = decode(body.SerializeToString(), content_type="protobuf", limits=LIMITS, now_ns=NOW).columns
    row = {name: column[0] for name, column in columns.items()}
    cuts = dict(zip(row["truncated"], row["truncated_sizes"], strict=True))
    for name, came in names.items():
        check_text(row[name], came, name, cuts)
    check_text(row["status_message"], "m" * message, "status_message", cuts)
    # Resource and span may both have lost some: the name stands for either.
    for stored, came in ((row["attributes"], attributes), (row["resource"], resource)):
        if len(came) <= LIMITS.max_attributes and all(len(key) <= LIMITS.max_key_chars for key in came):
            check_attributes(stored, came, cuts)
        else:
            assert "attributes" in cuts
    assert len(row["events.name"]) == len(events) or cuts["events"] == len(events)
    for (came_name, _), stored_name in zip(events, row["events.name"], strict=False):
        assert stored_name == came_name or "events.name" in cuts
    assert len(row["links.trace_id"]) == links or cuts["links"] == links


def test_a_cut_text_is_named_with_its_original_size() -> None:
    text = "é" * 2_000
    decoded = decode_spans(span({"input.value": text}, name="n" * 600), limits=LIMITS)
    (names,), (sizes,) = decoded.columns["truncated"], decoded.columns["truncated_sizes"]
    assert dict(zip(names, sizes, strict=True)) == {"input.value": 4_000, "name": 600}


def test_a_dropped_blob_is_named_too() -> None:
    image = "iVBORw0KGgoA" + "AAAA" * 2_000
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
    attribute = json.dumps([{"role": "user", "content": [part]}])
    body = request(span({"gen_ai.operation.name": "chat", "gen_ai.input.messages": attribute})).SerializeToString()
    limits = replace(Limits(), max_blob_bytes=1_000)
    decoded = decode(body, content_type="protobuf", limits=limits, now_ns=NOW, blobs_until="2099-01-05")
    assert decoded.columns["truncated"] == [["gen_ai.input.messages"]]
    assert decoded.columns["truncated_sizes"] == [[len(attribute)]]
    assert "image/png of 6009 bytes, over the cap of 1000" in decoded.columns["input"][0]
    assert not decoded.blobs
