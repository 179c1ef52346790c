"""What a model name can say."""

from dataclasses import dataclass


class Variants(tuple[str, ...]):
    """Sorted words for training role and purpose. Immutable, and equal to a list of the same words."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, tuple(other)) if isinstance(other, (list, tuple)) else NotImplemented

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


NO_VARIANTS = Variants()


@dataclass(frozen=True, slots=True)
class ModelName:
    """The fields of a model name; one the name says nothing about is None.

    Parameters are in billions, `date` is an ISO day or month (or the bare month and day as written), `experts` is as
    written ("8x7B", "16E"), `bits` is nominal (a recipe such as Q4_K_M uses a little more).
    """

    provider: str | None = None
    org: str | None = None
    family: str | None = None
    version: str | None = None
    tier: str | None = None
    params_total: float | None = None
    params_active: float | None = None
    experts: str | None = None
    variant: Variants = NO_VARIANTS
    quantization: str | None = None
    bits: float | None = None
    format: str | None = None
    date: str | None = None
    region: str | None = None
    adapter: str | None = None
    base_model: str | None = None
