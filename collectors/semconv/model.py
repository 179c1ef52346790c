"""A model's name as columns."""

from functools import lru_cache
from typing import NamedTuple

from collectors.model_names import parse


class ModelColumns(NamedTuple):
    """What the name states; '' and None where it does not. Parameters in billions."""

    family: str = ""
    variant: str = ""
    params_b: float | None = None
    active_params_b: float | None = None
    quantization: str = ""
    bits: float | None = None
    format: str = ""
    adapter: str = ""


NO_MODEL = ModelColumns()


# A busy deployment answers with tens of names, adapters included thousands; an entry is about 1 kB.
@lru_cache(maxsize=8_192)
def model_columns(name: str) -> ModelColumns:
    """Columns of a model's name; several variants are joined by a comma."""
    said = parse(name)
    return ModelColumns(
        family=said.family or "",
        variant=",".join(said.variant),
        params_b=said.params_total,
        active_params_b=said.params_active,
        quantization=said.quantization or "",
        bits=said.bits,
        format=said.format or "",
        adapter=said.adapter or "",
    )
