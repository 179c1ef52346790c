"""The command line as other programs use it: files in, JSON out, exit codes that can be trusted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluators import registry
from evaluators.cli import main
from evaluators.jsonl import read_lines, to_json


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_every_evaluator_is_listed_and_resolves(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == registry.names()


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "evaluators", "list"], capture_output=True, text=True, check=False)
    assert (done.returncode, "groundedness" in done.stdout) == (0, True)


def test_a_file_is_scored_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(
        tmp_path / "in.jsonl",
        {"id": "a", "answer": "Paris", "expected": "paris"},
        {"id": 2, "context": None, "question": "q", "answer": "Rome", "expected": ["paris"]},
        {"id": "c", "answer": "Rome"},
    )
    code, _, err = run(capsys, "score", "exact_match", "--input", source, "--output", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert code == 0
    assert [(row["id"], row["value"], row["label"]) for row in rows] == [
        ("a", 1.0, "pass"),
        ("2", 0.0, "fail"),
        ("c", None, "unscored"),
    ]
    assert set(rows[0]) == {"id", "value", "label", "explanation", "details"}
    assert "3/3" in err or "3 samples" in err


def test_bad_lines_are_named_and_skipped_and_the_exit_code_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(
        b'{"id": "a", "answer": "x"}\n{"id": \n\n[1]\n{"answer": "x"}\n\xff\xfe\n'
        b'{"id": "b", "answer": 5}\n{"id": "c"}\n'
    )
    code, _, err = run(capsys, "score", "repetition", "--input", source, "--output", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert code == 1
    assert [row["id"] for row in rows] == ["a", "c"]
    for fault in (
        "line 2: not JSON",
        "line 4: not a JSON object",
        "line 5: no id",
        "line 6: not UTF-8",
        "line 7: answer",
    ):
        assert fault in err
    assert "2 scored, 5 skipped" in err


def test_settings_reach_the_evaluator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", {"id": "a", "answer": "call 123"})
    common = ["--input", source, "--output", tmp_path / "out.jsonl"]
    assert run(capsys, "score", "regex", *common, "--set", r"pattern=^\d+$", "--set", "negate=true")[0] == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["value"] == 1.0
    code, _, err = run(capsys, "score", "regex", *common, "--model", "some/model")
    assert (code, "model" in err) == (3, True)
    code, _, err = run(capsys, "score", "nonsense", *common)
    assert (code, "exact_match" in err) == (3, True)
    assert run(capsys, "score", "regex", "--input", tmp_path / "absent", "--output", tmp_path / "x")[0] == 3


def test_several_devices_score_in_processes_and_keep_the_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.score_file.CHUNK", 2)
    texts = ["what an idiot", "quite a nice day", "damn rain again", "", "nothing to see", "one more text"]
    source = write(tmp_path / "in.jsonl", *({"id": i, "answer": text} for i, text in enumerate(texts)), "{")
    written = []
    for device in ("cpu", "cpu,cpu"):
        path = tmp_path / f"{device}.jsonl"
        command = [
            "score",
            "toxicity",
            "--set",
            "method=words",
            "--input",
            source,
            "--output",
            path,
            "--device",
            device,
        ]
        code, _, err = run(capsys, *command)
        assert (code, f"{len(device.split(','))} device(s)" in err) == (1, True), err
        written.append(path.read_text())
    assert written[0] == written[1]
    assert len(written[0].splitlines()) == len(texts)


NO_NETWORK = """
import socket, sys
def refuse(*_, **__): raise AssertionError("the network was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from evaluators.cli import main
for name in ("groundedness", "toxicity", "pii"):
    command = ["score", name, "--input", sys.argv[1], "--output", sys.argv[2] + name, "--device", "cpu"]
    assert main(command) == 0, name
"""


def test_evaluators_import_and_score_with_the_network_cut(tmp_path: Path) -> None:
    row = {"id": "a", "context": "Paris is the capital of France.", "question": "?", "answer": "Paris is in France."}
    source = write(tmp_path / "in.jsonl", row)
    command = [sys.executable, "-c", NO_NETWORK, str(source), f"{tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values = [json.loads((tmp_path / name).read_text())["value"] for name in ("groundedness", "toxicity", "pii")]
    assert None not in values


def test_the_input_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", {"id": "a", "answer": "x"})
    code, _, err = run(capsys, "score", "repetition", "--input", source, "--output", source)
    assert (code, "overwrite" in err) == (3, True)
    assert json.loads(source.read_text())["id"] == "a"


def windows(tmp_path: Path, shift: float) -> list[object]:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.standard_normal((60, 5)))
    np.save(tmp_path / "b.npy", rng.standard_normal((50, 5)) + shift)
    return ["drift", "--reference", tmp_path / "a.npy", "--current", tmp_path / "b.npy"]


@pytest.mark.parametrize("test", [None, "mmd", "energy", "classifier", "knn"])
def test_drift_prints_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str], test: str | None) -> None:
    chosen = [] if test is None else ["--test", test]
    code, out, _ = run(capsys, *windows(tmp_path, 1.0), *chosen, "--explain")
    row = json.loads(out)
    assert code == 0
    assert set(row) >= {"statistic", "p_value", "effect", "interval", "verdict", "n", "clusters"}
    assert (row["verdict"], row["n"]) == ("drift", {"reference": 60, "current": 50})
    assert json.loads(run(capsys, *windows(tmp_path, 0.0), *chosen)[1])["verdict"] == "no_drift"


def test_texts_are_measured_and_with_their_topics_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.array([f"The order {i} has been sent to the customer today." for i in range(30)]))
    np.save(tmp_path / "b.npy", np.array([f"I'm sorry, but I cannot help with request {i} at all." for i in range(30)]))
    command = ["drift", "--reference", tmp_path / "a.npy", "--current", tmp_path / "b.npy", "--test", "texts"]
    code, out, _ = run(capsys, *command)
    row = json.loads(out)
    assert (code, row["test"], row["verdict"], row["n"]) == (0, "texts", "drift", {"reference": 30, "current": 30})
    assert row["details"]["statistics"]["refusals"]["verdict"] == "drift"
    explained = json.loads(run(capsys, *command, "--explain", "--device", "cpu")[1])
    assert explained["details"]["statistics"]["topics"]["verdict"] == "drift"
    code, _, err = run(capsys, *command, "--permutations", 99)
    assert (code, "permutations" in err) == (3, True)


def test_unusable_windows_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = windows(tmp_path, 0.0)
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    code, out, err = run(capsys, *command)
    assert (code, out) == (3, "")
    assert "b.npy" in err
    np.save(tmp_path / "b.npy", np.full((9, 5), np.nan))
    assert "not finite" in run(capsys, *command)[2]
    assert run(capsys, *command[:3], "--current", tmp_path / "absent.npy")[0] == 3
    assert run(capsys, "drift")[0] == 3


def runs(tmp_path: Path, drop: float, n: int) -> list[object]:
    rng = np.random.default_rng(1)
    scores = rng.random(n)
    noise = rng.normal(0, 0.05, n)
    write(tmp_path / "a.jsonl", *({"id": i, "quality": s, "cluster": f"c{i // 2}"} for i, s in enumerate(scores)))
    write(tmp_path / "b.jsonl", *({"id": i, "quality": s} for i, s in enumerate(scores - drop + noise)))
    return ["regress", "--baseline", tmp_path / "a.jsonl", "--candidate", tmp_path / "b.jsonl", "--metric", "quality"]


@pytest.mark.parametrize(
    ("drop", "n", "verdict", "code"), [(0.0, 600, "pass", 0), (0.1, 600, "fail", 1), (0.0, 12, "not_enough_data", 2)]
)
def test_the_exit_code_is_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], drop: float, n: int, verdict: str, code: int
) -> None:
    found, out, _ = run(capsys, *runs(tmp_path, drop, n), "--margin", "0.02")
    row = json.loads(out)
    assert (found, row["verdict"], row["n"], row["n_clusters"]) == (code, verdict, n, n // 2)
    assert set(row) >= {"statistic", "p_value", "effect", "interval", "margin", "n_needed"}
    assert row["interval"][0] < row["effect"] < row["interval"][1]
    if verdict == "not_enough_data":
        assert row["n_needed"] > n


def test_items_of_one_run_only_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = runs(tmp_path, 0.0, 600)
    with (tmp_path / "b.jsonl").open("a") as lines:
        lines.write('{"id": "new", "quality": 1}\n{"id": 3, "quality": "good"}\n{"id": 4, "quality": null}\n')
    code, out, err = run(capsys, *command)
    assert code == 0
    items = json.loads(out)["items"]
    assert (items["added_ids"], items["skipped_lines"], items["unscored"]) == (["new"], 1, 1)
    assert "line 602" in err


def test_runs_that_do_not_meet_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = runs(tmp_path, 0.0, 5)
    write(tmp_path / "b.jsonl", {"id": "other", "quality": 1})
    code, out, err = run(capsys, *command)
    assert (code, out) == (3, "")
    assert "nothing in common" in err
    assert run(capsys, *command, "--margin", "-1")[0] == 3


def test_an_endless_line_is_skipped_without_being_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.jsonl.MAX_LINE_BYTES", 100)
    path = write(tmp_path / "in.jsonl", "x" * 1000, {"id": 1})
    found = list(read_lines(path))
    assert [number for number, _ in found] == [1, 2]
    assert "longer than" in str(found[0][1])
    assert found[1][1] == {"id": 1}


def test_numbers_that_json_does_not_know_become_null() -> None:
    assert (
        to_json({"a": np.float32(1.5), "b": float("nan"), "c": (np.int64(2), {3})})
        == '{"a": 1.5, "b": null, "c": [2, [3]]}'
    )
