"""What is said of an evaluator's settings without importing it is what its function takes."""

import inspect
import pkgutil
import subprocess
import sys

import pytest

from evaluators.registry import EVALUATORS
from evaluators.signatures import OPERATORS_OWN, argument_faults, argument_schema


@pytest.mark.parametrize("name", EVALUATORS)
def test_the_schema_names_the_settings_that_the_function_takes(name: str) -> None:
    taken = inspect.signature(pkgutil.resolve_name(EVALUATORS[name].factory)).parameters
    schema = argument_schema(name)
    assert set(schema["properties"]) == set(taken) - OPERATORS_OWN - set(EVALUATORS[name].not_settings)
    for setting, described in schema["properties"].items():
        default = taken[setting].default
        if default is inspect.Parameter.empty:
            assert setting in schema["required"]
        elif default is not None:
            assert described["default"] == (list(default) if isinstance(default, tuple) else default)


def test_every_default_obeys_its_own_schema() -> None:
    for name in EVALUATORS:
        properties = argument_schema(name)["properties"]
        given = {key: value["default"] for key, value in properties.items() if "default" in value}
        assert not [fault for fault in argument_faults(name, given) if "required" not in fault]


def test_a_wrong_setting_is_named() -> None:
    assert argument_faults("regex", {"pattern": "a+", "full": True}) == []
    assert argument_faults("regex", {"full": "yes"}) == ["full: 'yes' is not of type 'boolean'"]
    assert "patern" in argument_faults("regex", {"patern": "a"})[0]
    assert argument_faults("ocr", {"metric": "xer"})


def test_what_is_called_light_loads_no_torch() -> None:
    code = "import sys, pkgutil\n"
    code += "for factory in sys.argv[1:]: pkgutil.resolve_name(factory)\n"
    code += "sys.exit('torch' in sys.modules)"
    light = [entry.factory for entry in EVALUATORS.values() if entry.is_light]
    assert subprocess.run([sys.executable, "-c", code, *light], check=False).returncode == 0
