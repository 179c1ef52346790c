"""Build the scripted libnvidia-ml.so.1: nvml.c, and a NOT_SUPPORTED stub for each other symbol pynvml asks for."""

import importlib.util
import re
import subprocess
from collections.abc import Collection
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
NOT_SUPPORTED = 3


def asked_for() -> set[str]:
    """The names of all functions that the installed pynvml looks up in the library."""
    spec = importlib.util.find_spec("pynvml")
    assert spec is not None
    assert spec.origin is not None
    return set(re.findall(r'_nvmlGetFunctionPointer\("(\w+)"\)', Path(spec.origin).read_text()))


def written(source: str) -> set[str]:
    """The names of all functions that nvml.c defines, by hand or through one of its macros."""
    return set(
        re.findall(r"^(?:int |const char \*|U32\(|TEXT\(|INDEXED\(|PROCESSES\(|SYSTEM_TEXT\()(nvml\w+)", source, re.M)
    )


def build(folder: Path, without: Collection[str] = ()) -> Path:
    """Compile into `folder`; names in `without` are missing from the library, as in an old driver."""
    source = SOURCE.read_text()
    for name in without:
        source = re.sub(rf"\b{name}\b(?=[(,])", f"absent_{name}", source)
    stubs = sorted(asked_for() - written(source) - set(without))
    (folder / "nvml.c").write_text(source)
    (folder / "stubs.c").write_text("".join(f"int {name}(void) {{ return {NOT_SUPPORTED}; }}\n" for name in stubs))
    library = folder / "libnvidia-ml.so.1"
    command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    command += ["-Wl,-soname,libnvidia-ml.so.1", "-o", str(library), str(folder / "nvml.c"), str(folder / "stubs.c")]
    subprocess.run(command, check=True)
    return library
