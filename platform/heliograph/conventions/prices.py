"""A project's own prices of models: read by ingest and re-application, and changed as a new revision of its rules.

A price decides a column of a span as a mapping rule does. So a change of either is a revision, and re-applying the
latest one prices stored calls as well.
"""

from collections.abc import Mapping
from decimal import Decimal

from django.db import transaction

from collectors.pricing import ModelPrice
from heliograph.accounts.models import Project, TokenPrice, User
from heliograph.conventions import rulesets

NO_PRICES: Mapping[str, ModelPrice] = {}


class TooManyPrices(ValueError):  # noqa: N818  (it is an answer to a person, not a failure)
    """The project has as many prices as it may have."""


def prices_of(project_id: int) -> Mapping[str, ModelPrice]:
    """Return the project's own prices by the name that a model answers with."""
    return {
        row.model: ModelPrice(
            _exact(row.input_per_million),
            _exact(row.output_per_million),
            None if row.cache_read_per_million is None else _exact(row.cache_read_per_million),
            None if row.cache_write_per_million is None else _exact(row.cache_write_per_million),
        )
        for row in TokenPrice.objects.filter(project=project_id)
    }


def set_price(project: Project, user: User | None, price: TokenPrice) -> TokenPrice:
    """Store a price, in place of the one of the same model. Raises TooManyPrices."""
    with transaction.atomic():
        known = TokenPrice.objects.filter(project=project, model=price.model).first()
        if known is None and project.token_prices.count() >= TokenPrice.MOST:
            raise TooManyPrices(f"A project has at most {TokenPrice.MOST} prices. Remove one that is no longer used.")
        price.pk, price.project = known.pk if known else None, project
        price.save()
        rulesets.note_change(project, user, f"price of {price.model[:300]} set")
    return price


def remove_price(project: Project, user: User | None, price: TokenPrice) -> None:
    """Go back to the price list for a model."""
    with transaction.atomic():
        price.delete()
        rulesets.note_change(project, user, f"price of {price.model[:300]} removed")


def _exact(value: Decimal | None) -> Decimal:
    # Zeros at the end make another number of the same value, and each is priced apart.
    return (value or Decimal(0)).normalize()
