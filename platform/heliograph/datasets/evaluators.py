"""Which evaluators judge an experiment, checked without importing those that bring torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.registry import EVALUATORS
from heliograph.evals.arguments import JUDGE, faults
from heliograph.evals.models import JudgeEndpoint, JudgeTemplate

# Each judges every row.
MAX_EVALUATORS = 20
MAX_NAME_CHARACTERS = 200
OFFERED: dict[str, str] = {name: entry.summary for name, entry in sorted(EVALUATORS.items())}
_OF_A_JUDGE = ("endpoint", "template")


class InvalidEvaluatorError(ValueError):
    """An evaluator that there is not, or a setting that it may not have."""


def checked(project_id: int, given: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the evaluators as they are stored: `name` (of the scores), `evaluator`, `arguments`.

    Each is the name of an evaluator, or an object with these; `name` is the evaluator's where it is left out. A
    language model as judge (`llm_judge`) has an `endpoint`, one of the project's judges by id or name, and may have a
    `template`, the id of one of its templates. Raises InvalidEvaluatorError.
    """
    if len(given) > MAX_EVALUATORS:
        raise InvalidEvaluatorError(f"At most {MAX_EVALUATORS} evaluators judge one experiment.")
    found: dict[str, dict[str, Any]] = {}
    for each in given:
        entry = {"evaluator": each} if isinstance(each, str) else each
        if not isinstance(entry, Mapping) or set(entry) - {"name", "evaluator", "arguments", *_OF_A_JUDGE}:
            raise InvalidEvaluatorError(
                "An evaluator is its name, or an object of name, evaluator and arguments; of llm_judge also endpoint"
                " and template."
            )
        evaluator = entry.get("evaluator")
        if evaluator not in OFFERED:
            raise InvalidEvaluatorError(
                f"There is no evaluator {evaluator!r} to choose; there are {', '.join(OFFERED)}."
            )
        name = entry.get("name") or evaluator
        if not isinstance(name, str) or len(name) > MAX_NAME_CHARACTERS or name in found:
            raise InvalidEvaluatorError(f"Each evaluator needs a short name of its own; {name!r} is taken or too long.")
        arguments = _arguments(name, evaluator, entry.get("arguments") or {})
        found[name] = {"name": name, "evaluator": evaluator, "arguments": arguments} | _judge(project_id, name, entry)
    return list(found.values())


def _arguments(name: str, evaluator: str, arguments: Any) -> dict[str, Any]:
    if not isinstance(arguments, Mapping):
        raise InvalidEvaluatorError(f"The arguments of {evaluator} are an object.")
    if wrong := faults(evaluator, arguments):
        raise InvalidEvaluatorError(f"{name}: {'; '.join(wrong)}. GET v1/evaluators says what {evaluator} takes.")
    return dict(arguments)


def _judge(project_id: int, name: str, entry: Mapping[str, Any]) -> dict[str, int]:
    """Return what a judge's entry has besides: ids of the project's own; {} of any other evaluator."""
    given = {key: entry[key] for key in _OF_A_JUDGE if entry.get(key) not in (None, "")}
    if entry["evaluator"] != JUDGE:
        if given:
            raise InvalidEvaluatorError(f"{name}: only {JUDGE} has {' and '.join(given)}.")
        return {}
    chosen = given.get("endpoint", "")
    judges = JudgeEndpoint.objects.filter(project=project_id)
    judge = (judges.filter(pk=chosen) if _is_id(chosen) else judges.filter(name=str(chosen))).first()
    if judge is None:
        known = ", ".join(judges.values_list("name", flat=True)[:20]) or "none yet; add one under Evaluations, Judges"
        raise InvalidEvaluatorError(f"{name}: endpoint is the id or the name of a judge of the project: {known}.")
    found = {"endpoint": judge.pk}
    if "template" in given:
        wanted = given["template"]
        if not _is_id(wanted) or not JudgeTemplate.objects.filter(project=project_id, pk=wanted).exists():
            raise InvalidEvaluatorError(
                f"{name}: template is the id of a template of the project; a built-in one is named in the arguments."
            )
        found["template"] = wanted
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
