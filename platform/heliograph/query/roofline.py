"""What hardware could do with a model and how much of it is used: the calculator's answer. Reads nothing.

- `estimate(asked) -> Estimate`: every figure with its value, or null with the reason

The model's name is parsed, its shape looked up or read from a `config.json`, the GPU's peaks taken from a table with
its source (`serving_math`). Nothing is guessed: a figure whose input nobody states is null.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from collectors.model_names import parse
from heliograph.query.filters import InvalidFilterError
from serving_math import memory, roofline
from serving_math.architectures import Architecture, architecture_from_config, architecture_of, with_params
from serving_math.gpus import Gpu, gpu_of
from serving_math.known import DataError, Unknown
from serving_math.roofline import Range

Unit = Literal["bytes", "tokens", "count", "share", "tok/s", "FLOP/B", "word"]
NO_RATE = "state the tokens a second that were measured"
NO_PARAMS = "the number of parameters is not known: state it"
_MOST_GPUS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person states. `bits` of a weight are taken from the model's name where None, else 16.

    `usable` is the share of the memory that the engine takes; `tokens_per_s` the measured rate of all sequences.
    """

    model: str
    gpu: str = ""
    gpus: int = 1
    config_json: str = ""
    params_b: float | None = None
    active_params_b: float | None = None
    bits: float | None = None
    kv_bits: float = 16
    precision: str = "bf16"
    batch: int = 1
    context: int = 2048
    usable: float = 0.9
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One result: `value`, or None with the `reason`. `high` is set where it is a range. `formula` says how it came."""

    key: str
    title: str
    unit: Unit
    value: float | None
    high: float | None = None
    word: str = ""
    reason: str = ""
    formula: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The figures, and what they were worked out from, in words."""

    figures: tuple[Figure, ...]
    inputs: tuple[str, ...]

    def of(self, key: str) -> Figure:
        """Return one figure. Raises KeyError for an unknown one."""
        for figure in self.figures:
            if figure.key == key:
                return figure
        raise KeyError(key)


def shape_of(model: str, config_json: str = "") -> Architecture | Unknown:
    """Return a model's shape from a `config.json` where one is given, else from its name by the table."""
    if config_json.strip():
        return architecture_from_config(config_json)
    said = parse(model)
    return architecture_of(
        said.family or "", said.version or "", said.params_total, said.experts or "", tuple(said.variant)
    )


def estimate(asked: Asked) -> Estimate:
    """Return every figure. Raises InvalidFilterError for a number that cannot be meant."""
    _check(asked)
    said = parse(asked.model)
    shape = shape_of(asked.model, asked.config_json)
    if isinstance(shape, Architecture):
        shape = with_params(shape, asked.params_b or said.params_total, asked.active_params_b or said.params_active)
    bits = asked.bits or said.bits or 16.0
    card = gpu_of(asked.gpu) if asked.gpu else Unknown("choose a GPU")
    return Estimate(figures=tuple(_Work(asked, shape, card, bits).figures()), inputs=_inputs(asked, shape, card, bits))


def _check(asked: Asked) -> None:
    whole = (("gpus", asked.gpus, _MOST_GPUS), ("batch", asked.batch, 10**6), ("context", asked.context, 10**8))
    for name, count, most in whole:
        if not 1 <= count <= most:
            raise InvalidFilterError(name, f"must be from 1 to {most:,}")
    sizes = (("bits", asked.bits, 64), ("kv_bits", asked.kv_bits, 32), ("usable", asked.usable, 1))
    rates = (("params_b", asked.params_b, 10**6), ("active_params_b", asked.active_params_b, 10**6))
    for name, value, highest in (*sizes, *rates, ("tokens_per_s", asked.tokens_per_s, 10**12)):
        if value is not None and not 0 < value <= highest:
            raise InvalidFilterError(name, f"must be above 0 and at most {highest:,}")


def _inputs(asked: Asked, shape: Architecture | Unknown, card: Gpu | Unknown, bits: float) -> tuple[str, ...]:
    said = [f"{bits:g} bits a weight, {asked.kv_bits:g} bits a cache entry"]
    if isinstance(shape, Architecture):
        said.append(f"{shape.name}: {shape.layers} layers, {shape.kv_width} cache entries a layer ({shape.source})")
        if shape.params is not None and shape.active_params is not None:
            active = f", {shape.active_params / 1e9:g} B active" if shape.is_mixture else ""
            said.append(f"{shape.params / 1e9:g} B parameters{active}")
    if isinstance(card, Gpu):
        note = f"; {card.note}" if card.note else ""
        size, speed = card.memory_bytes / 1e9, card.bandwidth / 1e12
        said.append(f"{card.name}: {size:g} GB at {speed:g} TB/s ({card.source}, {card.date}{note})")
        peak = card.peak(asked.precision, sparse=False)
        if not isinstance(peak, Unknown):
            said.append(f"{peak / 1e12:,.0f} TFLOPS dense {asked.precision.upper()}")
    return tuple(said)


class _MissingError(Exception):
    """An input that nobody states; the text says which."""


_Number = Callable[[], float]
_T = TypeVar("_T")


def _have(value: _T | Unknown | None, reason: str = "") -> _T:
    """Return a value that is there. Raises _MissingError with the reason."""
    if isinstance(value, Unknown):
        raise _MissingError(value.reason)
    if value is None:
        raise _MissingError(reason)
    return value


class _Work:
    """The inputs, and the figures that they allow."""

    def __init__(self, asked: Asked, shape: Architecture | Unknown, card: Gpu | Unknown, bits: float) -> None:
        self.asked, self.shape, self.card, self.bits = asked, shape, card, bits

    def figures(self) -> list[Figure]:
        return [
            self._figure("weights", "Weights", "bytes", self._weights, "parameters × bits / 8"),
            self._figure(
                "kv_per_token", "Cache of a token", "bytes", self._kv, "layers × 2 × KV heads × head size × bits / 8"
            ),
            self._figure(
                "kv_sequence", "Cache of a sequence", "bytes", lambda: self._kv() * self.asked.context, "× context"
            ),
            self._figure(
                "kv_tokens",
                "Tokens that fit",
                "tokens",
                lambda: self._room().tokens,
                "(memory × usable − weights) / cache",
            ),
            self._figure(
                "kv_sequences",
                "Sequences that fit",
                "count",
                lambda: self._room().sequences,
                "tokens that fit / context",
            ),
            self._figure("ridge", "Ridge", "FLOP/B", self._ridge, "dense peak / bandwidth"),
            self._bound(),
            self._figure("ceiling", "Ceiling", "tok/s", self._ceiling, "batch × bandwidth / bytes a step reads"),
            self._mbu(),
            self._figure("mfu", "MFU", "share", self._mfu, "2 × active parameters × tok/s / dense peak"),
        ]

    def _figure(self, key: str, title: str, unit: Unit, work: _Number, formula: str) -> Figure:
        try:
            return Figure(key=key, title=title, unit=unit, value=float(work()), formula=formula)
        except _MissingError as missing:
            return Figure(key=key, title=title, unit=unit, value=None, reason=str(missing), formula=formula)
        except DataError as wrong:
            return Figure(
                key=key, title=title, unit=unit, value=None, reason=str(wrong), formula=formula, is_error=True
            )

    def _mbu(self) -> Figure:
        found = self._figure("mbu", "MBU", "share", lambda: self._use().low, "bytes a step reads × steps/s / bandwidth")
        if found.value is None or self._use().high <= found.value:
            return found
        return replace(found, high=self._use().high)

    def _bound(self) -> Figure:
        title, formula = "Limited by", "2 × active parameters × batch / bytes a step reads, against the ridge"
        try:
            word = roofline.bound_of(self._step(), self.asked.batch, self._active(), self._ridge())
        except _MissingError as missing:
            return Figure(key="bound", title=title, unit="word", value=None, reason=str(missing), formula=formula)
        return Figure(key="bound", title=title, unit="word", value=None, word=word, formula=formula)

    def _params(self) -> float:
        params = self.shape.params if isinstance(self.shape, Architecture) else self._stated_params()
        return _have(params, NO_PARAMS)

    def _stated_params(self) -> float | None:
        stated = self.asked.params_b or parse(self.asked.model).params_total
        return None if stated is None else stated * 1e9

    def _active(self) -> float:
        if isinstance(self.shape, Architecture):
            return _have(self.shape.active_params, NO_PARAMS)
        stated = self.asked.active_params_b or parse(self.asked.model).params_active
        return stated * 1e9 if stated else self._params()

    def _weights(self) -> float:
        return memory.weight_bytes(self._params(), self.bits)

    def _kv(self) -> float:
        shape = _have(self.shape)
        return memory.kv_bytes_per_token(shape.layers, shape.kv_width, self.asked.kv_bits)

    def _room(self) -> memory.Capacity:
        card = _have(self.card)
        found = memory.kv_capacity(
            card.memory_bytes,
            self.asked.gpus,
            self._weights(),
            self._kv(),
            self.asked.context,
            usable=self.asked.usable,
        )
        if found.room_bytes <= 0:
            raise _MissingError(f"the weights do not fit: {-found.room_bytes / 1e9:,.1f} GB are missing")
        return found

    def _peak(self) -> float:
        return _have(_have(self.card).peak(self.asked.precision, sparse=False))

    def _ridge(self) -> float:
        return self._peak() / _have(self.card).bandwidth

    def _step(self) -> Range:
        weights = self._weights()
        read = Range(weights, weights)
        if isinstance(self.shape, Architecture) and self.shape.is_mixture:
            read = roofline.experts_read(memory.weight_bytes(self._active(), self.bits), weights, self.asked.batch)
        return roofline.bytes_per_step(read, self._kv(), self.asked.context, self.asked.batch)

    def _ceiling(self) -> float:
        card = _have(self.card)
        step = self._step()
        return roofline.ceiling(step, self.asked.batch, self._active(), card.bandwidth, self._peak(), self.asked.gpus)

    def _rate(self) -> float:
        return _have(self.asked.tokens_per_s, NO_RATE)

    def _use(self) -> Range:
        steps_per_s = self._rate() / self.asked.batch
        return roofline.mbu(self._step(), steps_per_s, _have(self.card).bandwidth, self.asked.gpus)

    def _mfu(self) -> float:
        return roofline.mfu(self._active(), self._rate(), self._peak(), self.asked.gpus)
