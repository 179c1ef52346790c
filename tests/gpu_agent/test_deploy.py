"""The files that start the agent as a service name what exists."""

import configparser

import yaml

from gpu_agent.__main__ import parser
from tests.gpu_agent.support import ROOT

FOLDER = ROOT / "deploy"


def test_the_systemd_unit_starts_the_agent_with_options_it_has():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read(FOLDER / "systemd" / "heliograph-gpu-agent.service")
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert program.endswith("/heliograph-gpu-agent")
    assert parser().parse_args(arguments).wait
    assert unit["Service"]["Restart"] == "always"  # exit code 4 asks for a new process


def test_the_daemonset_starts_the_agent_where_it_can_see_the_hosts_processes():
    document = yaml.safe_load((FOLDER / "kubernetes" / "gpu-agent.yaml").read_text())
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["hostPID"] is True
    assert parser().parse_args(container["command"][1:]).wait
    assert document["spec"]["selector"]["matchLabels"] == document["spec"]["template"]["metadata"]["labels"]
    variables = {each["name"] for each in container["env"]}
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "HELIOGRAPH_API_KEY", "OTEL_RESOURCE_ATTRIBUTES"} <= variables
