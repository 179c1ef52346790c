"""Decompression: every encoding that is spoken, and every way in which a body can lie about itself."""

import gzip
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from heliograph.ingest import bodies
from heliograph.ingest.bodies import MAX_STREAMS, decompress
from heliograph.ingest.refusals import MalformedBody, Refusal, TooLarge, UnsupportedEncoding


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


COMPRESS = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "raw deflate": raw_deflate,
    "zstd": zstandard.ZstdCompressor().compress,
    "br": brotli.compress,
}
ENCODINGS = {"zlib": "deflate", "raw deflate": "deflate"}
CASES = [(ENCODINGS.get(name, name), compress) for name, compress in COMPRESS.items()]
each_encoding = pytest.mark.parametrize(("encoding", "compress"), CASES, ids=list(COMPRESS))


@each_encoding
@settings(deadline=None)  # a shared disk and shared cores have bad moments
@given(data=st.binary(max_size=5_000))
def test_a_body_comes_back_as_it_was(encoding, compress, data):
    assert decompress(compress(data), encoding, max_bytes=5_000) == data


@each_encoding
def test_a_body_of_exactly_the_cap_is_taken_and_one_byte_more_is_not(encoding, compress):
    assert decompress(compress(b"a" * 1_000_000), encoding, max_bytes=1_000_000) == b"a" * 1_000_000
    with pytest.raises(TooLarge, match="HELIOGRAPH_MAX_DECOMPRESSED_BYTES"):
        decompress(compress(b"a" * 1_000_001), encoding, max_bytes=1_000_000)


@each_encoding
def test_a_bomb_is_refused_within_the_memory_of_the_cap(encoding, compress):
    bomb = compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decompress(bomb, encoding, max_bytes=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@each_encoding
@settings(deadline=None)  # a shared disk and shared cores have bad moments
@given(cut=st.integers(min_value=1, max_value=300))
def test_a_body_that_ends_too_early_is_malformed(encoding, compress, cut):
    whole = compress(bytes(range(256)) * 4)
    with pytest.raises(MalformedBody):
        decompress(whole[:-cut] or b"\x00", encoding, max_bytes=10_000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
@settings(deadline=None)  # a shared disk and shared cores have bad moments
@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_are_read_or_refused(encoding, data):
    try:
        result = decompress(data, encoding, max_bytes=10_000)
    except Refusal:
        return
    assert len(result) <= 10_000


@pytest.mark.parametrize(("encoding", "compress"), CASES[:3], ids=list(COMPRESS)[:3])
@settings(deadline=None)  # a shared disk and shared cores have bad moments
@given(data=st.binary(max_size=3_000), damage=st.lists(st.tuples(st.integers(0, 3_000), st.binary(max_size=2))))
def test_damaged_bodies_are_never_read_as_other_bytes_than_zlib_reads(encoding, compress, data, damage):
    body = compress(data)
    for place, new in damage:
        body = body[: place % len(body)] + new + body[place % len(body) + 1 :]
        if not body:
            return

    def read() -> bytes | None:
        try:
            return decompress(body, encoding, max_bytes=10_000)
        except Refusal:
            return None

    assert bodies.inflater is isal_zlib
    ours = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "inflater", zlib)
        patch.setattr(bodies, "_ERRORS", (zlib.error,))
        reference = read()
    # Reserved flags of gzip's header, which zlib refuses, isal passes over.
    is_flagged = encoding == "gzip" and len(body) > 3 and body[3] & 0xE0
    assert ours == reference or (reference is None and is_flagged)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_plain_body_is_left_alone(encoding):
    assert decompress(b"plain", encoding, max_bytes=10) == b"plain"


def test_an_unknown_encoding_is_answered_with_those_that_are_spoken():
    with pytest.raises(UnsupportedEncoding, match="br, deflate, gzip, x-gzip, zstd"):
        decompress(b"data", "lzma", max_bytes=10)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_concatenated_streams_are_one_body_up_to_a_bound(compress):
    encoding = "gzip" if compress is gzip.compress else "zstd"
    assert decompress(compress(b"one ") + compress(b"two"), encoding, max_bytes=100) == b"one two"
    with pytest.raises(MalformedBody, match=str(MAX_STREAMS)):
        decompress(compress(b"") * (MAX_STREAMS + 1), encoding, max_bytes=100)
