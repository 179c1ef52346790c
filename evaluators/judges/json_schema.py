"""Is the answer JSON, and does it obey a schema?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import exceptions, validators
from referencing.exceptions import Unresolvable

from evaluators.judges.base import MAX_CHARS, SampleScorer, passed
from evaluators.score import Sample, Score

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL | re.IGNORECASE)
# One answer can break a schema in thousands of places; the first few tell the story.
MAX_ERRORS = 10


def parse_answer(text: str) -> Any:
    """The JSON value of an answer, which may stand in one Markdown code fence.

    Raises ValueError for anything that is not strict JSON (so also for NaN) or nested too deeply.
    """
    fenced = _FENCE.match(text)

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def schema_errors(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Up to MAX_ERRORS faults of a value, each with its path; raises ValueError for a schema that is not one.

    References are resolved within the schema only, never fetched.
    """
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
        faults = []
        for error in kind(schema).iter_errors(value):
            faults.append(f"{error.json_path}: {error.message[:200]}")
            if len(faults) == MAX_ERRORS:
                break
    except exceptions.SchemaError as error:
        raise ValueError(f"not a JSON schema: {error.message[:200]}") from error
    except Unresolvable as error:
        raise ValueError(f"the schema refers to something outside it: {error}") from error
    return faults


def json_schema(*, schema: Mapping[str, Any] | None = None) -> SampleScorer:
    """1 when the answer is JSON that obeys the schema, from the setting or `extra["schema"]`; without any schema, when
    it is JSON at all. Raises ValueError for a setting that is not a schema.
    """
    if schema is not None:
        schema_errors(None, schema)

    def judge(sample: Sample) -> Score:
        if len(sample.answer) > MAX_CHARS:
            return Score.unscored(f"the answer is longer than {MAX_CHARS} characters")
        used = schema if schema is not None else sample.extra.get("schema")
        try:
            value = parse_answer(sample.answer)
        except ValueError as error:
            return passed(False, f"not JSON: {error}")
        if used is None:
            return passed(True, "is JSON")
        if not isinstance(used, Mapping):
            return Score.unscored("the sample's schema is not an object")
        try:
            faults = schema_errors(value, used)
        except ValueError as error:
            return Score.unscored(str(error))
        return passed(not faults, faults[0] if faults else "obeys the schema", {"errors": faults})

    return SampleScorer("json_schema", judge, "1", {"schema": schema})
