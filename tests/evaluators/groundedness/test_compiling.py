"""torch.compile by choice: the same verdicts, and none the worse where nothing can compile."""

import pytest
import torch
import torch._inductor.config
import torch._inductor.exc

from evaluators.cli import main
from evaluators.compiling import CompiledModel, compiled
from evaluators.groundedness import groundedness
from evaluators.models import CACHE
from evaluators.score import Sample

# torch's compiler imports parts of torch that torch itself calls outdated, and what it warns of is not ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
CONTEXT = "Paris lies on the Seine in France. Rome is a city in Italy."
SAMPLES = [
    Sample("a", CONTEXT, "", "Paris lies in France."),
    Sample("b", CONTEXT, "", "Rome was founded by cats. Paris lies on the Seine."),
    Sample("c", CONTEXT * 3, "", "Cats sleep all day in Rome and Paris."),
]


@pytest.fixture(autouse=True)
def _in_float32_from_an_empty_cache(monkeypatch):
    monkeypatch.setattr("evaluators.groundedness.choose_dtype", lambda device: torch.float32)
    CACHE.clear()
    # Else torch starts processes that compile, and leaves them for the rest of the run.
    with torch._inductor.config.patch({"compile_threads": 1}):
        yield


@pytest.fixture
def without_compiler():
    with torch._inductor.config.patch({"cpp.cxx": (None, "/nonexistent/c++")}):
        yield


# Compiling takes half a minute of a core, which may be one of many at work.
@pytest.mark.timeout(1200)
def test_a_compiled_model_gives_the_same_verdicts_or_says_why_it_is_none(nli, caplog):
    # Three claims of one padded length are one batch: each further shape would be compiled again.
    samples = SAMPLES[:2]
    plain = groundedness(nli, device="cpu").score(samples)
    made = groundedness(nli, device="cpu", compile_model=True)
    found = made.score(samples)
    assert [score.value for score in found] == pytest.approx([score.value for score in plain], abs=1e-4)
    assert [score.label for score in found] == [score.label for score in plain]
    model = made.backend.loaded.model
    is_compiled = isinstance(model, CompiledModel) and model.is_compiled
    assert is_compiled != ("cannot be had" in caplog.text)
    # The plain model is in the cache, for whoever did not ask for a compiled one.
    assert not isinstance(groundedness(nli, device="cpu").backend.loaded.model, CompiledModel)


@pytest.mark.usefixtures("without_compiler")
@pytest.mark.parametrize("family", ["nli", "lettucedect", "offline"])
def test_without_a_compiler_the_model_runs_as_it_is_and_says_so(family, request, caplog):
    path = None if family == "offline" else request.getfixturevalue(family)
    plain = groundedness(path, device="cpu").score(SAMPLES)
    made = groundedness(path, device="cpu", compile_model=True)
    assert not isinstance(made.backend.loaded.model, CompiledModel)
    assert [score.value for score in made.score(SAMPLES)] == [score.value for score in plain]
    assert "cannot be had" in caplog.text
    assert "g++" in caplog.text


def test_a_compiler_that_fails_at_the_first_call_is_given_up_once(nli, monkeypatch, caplog):
    calls = []

    def broken(*args, **kwargs):
        calls.append(1)
        raise torch._inductor.exc.CppCompileError(["c++"], "no header")

    monkeypatch.setattr("torch.compile", lambda model, **options: broken)
    loaded = groundedness(nli, device="cpu").backend.loaded
    model = compiled(loaded).model
    inputs = {"input_ids": torch.tensor([[1, 5, 6, 2]])}
    with torch.inference_mode():
        expected = loaded.model(**inputs).logits
        assert torch.equal(model(**inputs).logits, expected)
        assert torch.equal(model(**inputs).logits, expected)
    assert (len(calls), model.is_compiled, model.config.model_type) == (1, False, "bert")
    assert caplog.text.count("cannot be had") == 1


def test_what_the_model_itself_raises_is_not_taken_for_a_missing_compiler(monkeypatch):
    def out_of_memory(*args, **kwargs):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("torch.compile", lambda model, **options: out_of_memory)
    model = CompiledModel(torch.nn.Linear(2, 1))
    with pytest.raises(torch.OutOfMemoryError):
        model(torch.zeros(1, 2))
    assert model.is_compiled


@pytest.mark.usefixtures("without_compiler")
def test_the_command_line_asks_for_it_and_other_evaluators_refuse_it(nli, tmp_path, caplog, capsys):
    (tmp_path / "in.jsonl").write_text(
        '{"id": "a", "context": "Paris lies in France.", "answer": "Paris lies in Italy."}\n'
    )
    files = ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--compile"]
    assert main(["score", "groundedness", "--model", nli, "--device", "cpu", *files]) == 0
    assert "torch.compile was asked for" in caplog.text
    assert main(["score", "repetition", *files]) == 3
    assert "compile" in capsys.readouterr().err


def test_attention_is_torchs_fused_one_wherever_a_family_has_it(nli, lettucedect_modernbert):
    for path in (nli, lettucedect_modernbert, None):
        model = groundedness(path, device="cpu").backend.loaded.model
        config = model.encoder.config if path is None else model.config
        assert config._attn_implementation == "sdpa"
