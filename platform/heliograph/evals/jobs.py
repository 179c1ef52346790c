"""What can be asked for and scheduled: kinds of jobs, which rooms above register from their `AppConfig.ready`.

    jobs.register("gate", label="Regression gate", work="heliograph.gates.work:run", schema={...})

`work` names a function of a Run that returns its result as JSON; only a worker imports it, so that web and beat load no
torch. It may log by `run.say`, note by `run.change(place=...)` where to go on after a kill, and add what it used up.
`schema` is the JSON schema of the arguments; `check` says what else is wrong with those of a project.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from heliograph.accounts.models import Project
from heliograph.evals.models import Run

Check = Callable[[Project, Mapping[str, Any]], list[str]]


@dataclass(frozen=True, slots=True)
class JobKind:
    """See the module."""

    name: str
    label: str
    work: str
    schema: Mapping[str, Any]
    check: Check | None = None

    def faults(self, project: Project, arguments: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with arguments, empty where nothing is."""
        errors = Draft202012Validator(self.schema).iter_errors(dict(arguments))
        found = [f"{error.json_path.removeprefix('$').removeprefix('.')}: {error.message[:200]}" for error in errors]
        return found or (self.check(project, arguments) if self.check else [])

    def run(self, run: Run) -> dict[str, Any]:
        """Do the job. Raises what its function raises."""
        result: dict[str, Any] = pkgutil.resolve_name(self.work)(run)
        return result


_KINDS: dict[str, JobKind] = {}


def register(name: str, *, label: str, work: str, schema: Mapping[str, Any], check: Check | None = None) -> None:
    """Make a kind known. Raises ValueError for a name that another kind has, and for a schema that is none."""
    kind = JobKind(name, label, work, schema, check)
    Draft202012Validator.check_schema(dict(schema))
    if _KINDS.get(name, kind).work != work:
        raise ValueError(f"the kind {name!r} is registered for {_KINDS[name].work}")
    _KINDS[name] = kind


def kinds() -> list[JobKind]:
    """Return the kinds by their labels."""
    return sorted(_KINDS.values(), key=lambda kind: kind.label)


def kind_of(name: str) -> JobKind | None:
    """Return a kind by its name."""
    return _KINDS.get(name)


def _known_rule(project: Project, arguments: Mapping[str, Any]) -> list[str]:
    if not project.evaluation_rules.filter(name=arguments["rule"]).exists():
        return ["rule: the project has no rule of this name."]
    return []


def register_own() -> None:
    """Make the kinds of this room known."""
    text = {"type": "string", "maxLength": 200}
    hours = {"type": "number", "exclusiveMinimum": 0, "maximum": 24 * 365}
    register(
        "evaluate",
        label="Evaluate a period",
        work="heliograph.evals.online.period:evaluate",
        schema={
            "type": "object",
            "properties": {
                "rule": {**text, "description": "A rule's name; it may be paused."},
                "hours": {**hours, "description": "Back from the time that the run is due.", "default": 24},
                "again": {"type": "boolean", "description": "Also what has a verdict.", "default": False},
            },
            "required": ["rule"],
            "additionalProperties": False,
        },
        check=_known_rule,
    )
    register(
        "regression",
        label="Comparison of releases",
        work="heliograph.evals.regression:check",
        schema={
            "type": "object",
            "properties": {
                "service": text,
                "baseline": text,
                "candidate": text,
                "name": {**text, "default": "groundedness"},
                "margin": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.02},
                "days": {"type": "number", "exclusiveMinimum": 0, "maximum": 365, "default": 14},
            },
            "required": ["service", "baseline", "candidate"],
            "additionalProperties": False,
        },
    )
