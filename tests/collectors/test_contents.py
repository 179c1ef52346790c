"""Long texts taken out of a span come back to the letter, and blobs are cut out where there is one."""

import base64
import json
import random
import wave
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.blobs import REFERENCE, Cutter, media_type
from collectors.contents import MIN_CHARS, Splitter, references, restore

pytestmark = pytest.mark.usefixtures("decoder")

LONG = 'Ein Tarif, der „teuer“ heißt: \n\t"A" \\ 1/2. ' * 60
PNG = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(4_000)
UNTIL = "2027-01-04"


def there_and_back(text: str) -> tuple[str, list[str]]:
    splitter = Splitter(b"project")
    used: list[str] = []
    split = splitter.split(text, used, "i")
    assert restore(split, used, splitter.texts) == text
    assert set(references(split, used)) == set(splitter.texts)
    return split, used


def cut(text: str, max_bytes: int = 1 << 20) -> tuple[str, Cutter]:
    cutter = Cutter(UNTIL, max_bytes)
    return cutter.cut(text), cutter


_strings = st.text() | st.text(min_size=1).map(lambda text: text * (MIN_CHARS // len(text) + 1))
_json = st.recursive(
    _strings | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(value=_json, ensure_ascii=st.booleans(), indent=st.sampled_from([None, 2]))
def test_any_json_text_comes_back_to_the_letter(value: object, ensure_ascii: bool, indent: int | None) -> None:
    there_and_back(json.dumps(value, ensure_ascii=ensure_ascii, indent=indent))


@given(st.text().map(lambda text: text * 50) | st.text(alphabet='"\\[{]}: ,n\nu00a', min_size=MIN_CHARS))
def test_any_text_comes_back_to_the_letter(text: str) -> None:
    there_and_back(text)


def test_one_text_in_any_form_is_stored_once() -> None:
    splitter = Splitter(b"project")
    used: list[str] = []
    message = [{"role": "tool", "content": LONG}]
    for text in (
        LONG,
        json.dumps(message),
        json.dumps(message, ensure_ascii=False),
        json.dumps({"a": message}, indent=1),
    ):
        assert len(splitter.split(text, used, "x")) < len(text) / 4
    assert list(splitter.texts.values()) == [LONG]


def test_each_project_has_hashes_of_its_own() -> None:
    split = {Splitter(key).split(LONG, [], "i") for key in (b"one", b"two")}
    assert len(split) == 2


def test_a_growing_history_adds_one_text_a_turn() -> None:
    splitter = Splitter(b"project")
    turns = [f"{turn} {LONG}" for turn in range(40)]
    for turn in range(1, 41):
        splitter.split(json.dumps([{"role": "user", "content": text} for text in turns[:turn]]), [], "i")
    assert len(splitter.texts) == 40


def test_a_text_that_only_looks_like_a_reference_stays_what_it_is() -> None:
    splitter = Splitter(b"project")
    used: list[str] = []
    reference = splitter.split(LONG, used, "x")
    assert restore(f"see {reference}", [], splitter.texts) == f"see {reference}"
    assert restore(f"see {reference}", ["x" + "0" * 32], splitter.texts) == f"see {reference}"


def test_a_text_that_is_gone_leaves_its_size_in_its_place() -> None:
    used: list[str] = []
    assert (
        restore(Splitter(b"project").split(LONG, used, "i"), used, {}) == f"[{len(LONG)} characters that were not read]"
    )


def test_a_message_of_parsed_json_is_restored_as_text() -> None:
    for text in (json.dumps([LONG]), json.dumps([LONG], ensure_ascii=False), json.dumps([LONG]).replace("/", "\\/")):
        splitter = Splitter(b"project")
        used: list[str] = []
        (content,) = json.loads(splitter.split(text, used, "i"))
        assert restore(content, used, splitter.texts, is_parsed=True) == LONG


def test_short_texts_stay_where_they_are() -> None:
    text = json.dumps([{"role": "user", "content": "x" * (MIN_CHARS - 1)}] * 40)
    assert there_and_back(text) == (text, [])


def test_tool_definitions_that_come_with_each_call_are_one_text() -> None:
    tools = json.dumps([{"name": f"tool_{number}", "description": "short"} for number in range(40)])
    splitter = Splitter(b"project")
    assert len(splitter.split(tools, [], "x", "gen_ai.tool.definitions")) < 70
    assert splitter.split(tools, [], "x", "gen_ai.input.messages") == tools


def sound() -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(bytes(4_000))
    return file.getvalue()


IMAGE = base64.b64encode(PNG).decode()
SHAPES = {
    "OpenAI image_url": (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
        PNG,
        "image/png",
    ),
    "OpenAI input_audio": (
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(sound()).decode(), "format": "wav"}},
        sound(),
        "audio/wav",
    ),
    "OpenAI audio without a header": (
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(PNG[9:]).decode(), "format": "pcm16"}},
        PNG[9:],
        "application/octet-stream",
    ),
    "OpenAI file": (
        {
            "type": "file",
            "file": {
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7 " * 300).decode(),
            },
        },
        b"%PDF-1.7 " * 300,
        "application/pdf",
    ),
    "Anthropic source": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}},
        PNG,
        "image/png",
    ),
    "Gemini inline_data in the URL-safe alphabet": (
        {"inline_data": {"mime_type": "image/png", "data": base64.urlsafe_b64encode(PNG).decode()}},
        PNG,
        "image/png",
    ),
    "OpenTelemetry blob": (
        {"type": "blob", "mime_type": "image/png", "modality": "image", "content": IMAGE},
        PNG,
        "image/png",
    ),
    "a script that calls itself an image": (
        {"image_url": {"url": "data:image/svg+xml;base64," + base64.b64encode(b"<svg onload='x()'/>" * 200).decode()}},
        b"<svg onload='x()'/>" * 200,
        "application/octet-stream",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prose", [0, 1_000, 5_000])
def test_a_blob_is_cut_out_of_a_message(shape: str, prose: int) -> None:
    part, data, kind = SHAPES[shape]
    before = "And what do you see? " * (prose // 20)
    text, cutter = cut(json.dumps([{"role": "user", "content": [{"type": "text", "text": before}, part]}]))
    (found,) = REFERENCE.finditer(text)
    assert (found[2], int(found[3]), found[4]) == (kind, len(data), UNTIL)
    assert cutter.found == {found[1]: data}
    assert len(text) < len(before) + 600
    assert json.loads(text)


@given(start=st.integers(0, 5_000), gap=st.integers(1, 3_000))
def test_two_blobs_anywhere_in_a_text_are_both_found(start: int, gap: int) -> None:
    prose = ("word " * 2_000)[:start], ("more text; " * 400)[:gap]
    text, cutter = cut(f'{prose[0]}"{IMAGE}"{prose[1]}"{IMAGE}" end')
    assert len(REFERENCE.findall(text)) == 2
    assert len(cutter.found) == 1
    assert REFERENCE.sub(IMAGE, text) == f'{prose[0]}"{IMAGE}"{prose[1]}"{IMAGE}" end'


@pytest.mark.parametrize(
    "text", [LONG, "f" * 9_000, json.dumps(list(range(5_000))), "data:image/png;base64,iVBORw0KGgo=", "ab" * 40_000]
)
def test_what_is_no_blob_stays(text: str) -> None:
    assert cut(text)[0] == text


def test_a_blob_over_the_cap_leaves_its_type_and_size() -> None:
    text, cutter = cut(f"data:image/png;base64,{IMAGE}", max_bytes=1_000)
    assert text == "data:image/png;base64,[image/png of 4008 bytes, over the cap of 1000]"
    assert cutter.dropped == 4_008
    assert not cutter.found


def test_the_type_is_what_the_bytes_say() -> None:
    assert (
        media_type(b"<html><script>")
        == media_type(b"<svg/>")
        == media_type(b"RIFF0000AVI ")
        == "application/octet-stream"
    )
    assert media_type(b"RIFF0000WEBPVP8 ") == "image/webp"
