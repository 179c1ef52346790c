"""torch.compile by choice: faster kernels after a minute of compiling, or the plain model where nothing can compile."""

from __future__ import annotations

import logging
import pkgutil
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from evaluators.models import Loaded

log = logging.getLogger(__name__)
# What a missing or broken compiler looks like; an error of the model itself, or of memory, is none of these. By name:
# importing them takes seconds, which whoever compiles nothing need not wait for.
_CANNOT_COMPILE = (
    "torch._dynamo.exc:TorchDynamoException",
    "torch._inductor.exc:InductorError",
    "torch._inductor.exc:InvalidCxxCompiler",
    "torch._inductor.exc:CppCompileError",
)


class CompiledModel:
    """A model that is compiled at its first call, and stays as it is where that fails; else like the model itself."""

    def __init__(self, plain: nn.Module) -> None:
        self._plain = plain
        # One kernel for all lengths: batches come in a dozen padded lengths, and compiling each anew takes minutes.
        self._compiled: Any = torch.compile(plain, dynamic=True)
        self._faults: tuple[type[Exception], ...] = tuple(map(pkgutil.resolve_name, _CANNOT_COMPILE))

    @property
    def is_compiled(self) -> bool:
        """False once compiling has failed."""
        return self._compiled is not None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._compiled is not None:
            try:
                return self._compiled(*args, **kwargs)
            except self._faults as error:
                self._compiled = None
                _say_why(error)
        return self._plain(*args, **kwargs)


def compiled(loaded: Loaded) -> Loaded:
    """The same model, compiled at its first use; the one given, which others may share, is not changed.

    Where a CPU's compiler is missing it is given back as it is, at once: tracing the model first takes a minute.
    """
    if loaded.device.type == "cpu":
        try:
            pkgutil.resolve_name("torch._inductor.cpp_builder:get_cpp_compiler")()
        except pkgutil.resolve_name("torch._inductor.exc:InvalidCxxCompiler") as error:
            _say_why(error)
            return loaded
    return replace(loaded, model=CompiledModel(loaded.model))


def _say_why(error: Exception) -> None:
    log.warning(
        "torch.compile was asked for and cannot be had, so the model runs as it is. On a CPU it needs a C++ compiler "
        "(g++ or clang++, or the one that CXX names), on a GPU triton: %s",
        (str(error).strip().splitlines() or [type(error).__name__])[0],
    )
