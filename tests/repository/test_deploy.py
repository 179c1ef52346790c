"""What deploy/ holds is read as its tools read it, and says nothing that the code does not know."""

import importlib
import re
import runpy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
# A version that is still served with fixes; the schemas are the package's own.
KUBERNETES = "1.31"
COMPOSE = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text(encoding="utf-8"))
OURS = {name: each for name, each in COMPOSE["services"].items() if str(each["image"]).startswith("heliograph")}
SETTINGS = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs/settings.md").read_text(encoding="utf-8"), re.MULTILINE))
# Of other makers' programs, which docs/settings.md does not list.
FOREIGN = {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "OTEL_EXPORTER_OTLP_ENDPOINT", "NODE_NAME"}
FOREIGN |= {"OTEL_RESOURCE_ATTRIBUTES", "HELIOGRAPH_API_KEY"}


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def containers() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in MANIFESTS:
        for document in documents(path):
            pod = document["spec"].get("template", {}).get("spec", {})
            found += [(path.stem, each) for each in [*pod.get("initContainers", []), *pod.get("containers", [])]]
    return found


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_kubernetes_own_schemas(path: Path) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_kustomization_names_files_and_images_that_there_are() -> None:
    (kustomization,) = documents(DEPLOY / "kubernetes/kustomization.yaml")
    assert {path.name for path in MANIFESTS} - {"evaluator-gpu.yaml", "gpu-agent.yaml"} == set(
        kustomization["resources"]
    )
    assert {each["image"] for _, each in containers()} == {each["name"] for each in kustomization["images"]}


def test_discovery_may_list_and_watch_pods_and_nothing_else() -> None:
    folder = DEPLOY / "kubernetes/discovery"
    account, role, binding = documents(folder / "rbac.yaml")
    (component,) = documents(folder / "kustomization.yaml")
    (patch,) = documents(folder / "scraper.yaml")
    for document in (account, role, binding):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    [subject] = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], account["metadata"]["namespace"])
    assert {"rbac.yaml", "scraper.yaml"} == {*component["resources"], *(each["path"] for each in component["patches"])}
    # The patch is of the scraper's own manifest, and what results still fits Kubernetes' schema.
    (scraper,) = documents(DEPLOY / "kubernetes/scraper.yaml")
    assert patch["metadata"]["name"] == scraper["metadata"]["name"]
    pod, more = (each["spec"]["template"]["spec"] for each in (scraper, patch))
    [container], [added] = pod["containers"], more["containers"]
    assert (container["name"], more["serviceAccountName"]) == (added["name"], account["metadata"]["name"])
    container["volumeMounts"] += added["volumeMounts"]
    container["env"] = added["env"]
    pod["volumes"] += more["volumes"]
    pod["serviceAccountName"] = more["serviceAccountName"]
    kubernetes_validate.validate(scraper, KUBERNETES, strict=True)
    assert {each["name"] for each in added["env"]} <= SETTINGS
    # The token that pods are shown is no token of the API.
    tokens = [each["serviceAccountToken"] for each in more["volumes"][0]["projected"]["sources"][:2]]
    shown = next(each["value"] for each in added["env"] if each["name"].endswith("PODS_TOKEN_FILE"))
    assert [each.get("audience") for each in tokens if shown.endswith(f"/{each['path']}")] == ["heliograph-scrape"]


def commands() -> list[tuple[str, list[str]]]:
    found = [(name, [*each.get("command", []), *each.get("args", [])]) for name, each in containers()]
    return found + [(name, each["command"]) for name, each in OURS.items()]


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_process_is_started_as_something_that_exists(name: str, command: list[str]) -> None:
    words = " ".join(command)
    for module in re.findall(r"python -m (\S+)", words):
        assert importlib.util.find_spec(module) is not None, f"{name}: {module}"
    for option in ("-A heliograph",) if "celery" in words else ():
        assert option in words
    known = {path.stem for path in (ROOT / "platform/heliograph/management/commands").glob("*.py")}
    known |= {"collectstatic"}
    assert set(re.findall(r"heliograph (setup|collectstatic|up|\S+)", words.replace("-A heliograph", ""))) <= known


def test_every_variable_is_a_setting_and_no_container_is_root_but_the_agent() -> None:
    named = {one["name"] for _, each in containers() for one in each.get("env", [])}
    named |= {name for each in OURS.values() for name in each["environment"]}
    (kustomization,) = documents(DEPLOY / "kubernetes/kustomization.yaml")
    named |= {literal.partition("=")[0] for each in kustomization["configMapGenerator"] for literal in each["literals"]}
    assert named - FOREIGN <= SETTINGS
    for name, each in containers():
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["capabilities"]["drop"] == ["ALL"], name
        assert (security.get("runAsUser") == 0) == (name == "gpu-agent")
    for name, service in OURS.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


def test_the_check_of_the_image_reads_every_step_of_the_dockerfile() -> None:
    check = runpy.run_path(str(DEPLOY / "check_image.py"))
    build, image = check["read"]((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert (build.name, build.release, image.release) == ("build", "bookworm", "bookworm")
    words = [word for word, _ in image.steps]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word == "RUN")
    assert ("COPY", "--from=build /opt/heliograph /opt/heliograph") in image.steps
    with pytest.raises(ValueError, match="HEALTHCHECK"):
        check["read"]("FROM debian:bookworm-slim\nHEALTHCHECK NONE\n")
    with pytest.raises(ValueError, match="slim Debian"):
        check["read"]("FROM alpine\n")
