"""A project's own prices of models, and the models whose calls have none."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.accounts.models import Project, TokenPrice, User
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.conventions import prices
from heliograph.query.unpriced import UnpricedModel, unpriced_models


class PriceOut(serializers.ModelSerializer[TokenPrice]):
    """What the project pays for a model's tokens, in USD per million; null is as input."""

    class Meta:
        model = TokenPrice
        fields = (
            "id",
            "model",
            "input_per_million",
            "output_per_million",
            "cache_read_per_million",
            "cache_write_per_million",
            "updated_at",
        )


class PriceList(serializers.Serializer[Any]):
    """The project's own prices, by model."""

    items = PriceOut(many=True)


class UnpricedList(serializers.Serializer[Any]):
    """Models with calls in the range that have no cost, most calls first."""

    items = serializer_of(UnpricedModel)(many=True)


def _answers(kind: Any, *statuses: int) -> Any:
    described: dict[Any, Any] = {(200, "application/json"): OpenApiResponse(kind)}
    for status in (400, 401, *statuses):
        described[status, CONTENT_TYPE] = OpenApiResponse(Problem)
    return described


def _project(request: Request) -> Project:
    if not isinstance(request.auth, Project):
        raise TypeError("Permitted lets only requests with a project through")
    return request.auth


def _user(request: Request) -> User | None:
    return request.user if isinstance(request.user, User) else None


class PricesView(APIView):
    """The project's own prices."""

    needs = EDITING

    @extend_schema(operation_id="list_prices", responses=_answers(PriceList))
    def get(self, request: Request) -> Response:
        """Return every price of the project's own."""
        return Response(PriceList({"items": _project(request).token_prices.all()}).data)

    @extend_schema(operation_id="set_price", request=PriceOut, responses=_answers(PriceOut, 403))
    def post(self, request: Request) -> Response:
        """Set a model's price for calls that come from now on; one that the model has already is replaced.

        Stored calls keep their cost until mapping rules are re-applied.
        """
        given = PriceOut(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            price = prices.set_price(_project(request), _user(request), TokenPrice(**given.validated_data))
        except prices.TooManyPrices as error:
            raise ValidationError({"model": [str(error)]}) from error
        return Response(PriceOut(price).data)


class PriceView(APIView):
    """One price."""

    needs = EDITING

    @extend_schema(operation_id="delete_price", responses={204: None, **_answers(None, 403, 404)})
    def delete(self, request: Request, price_id: int) -> Response:
        """Go back to the price list for a model, for calls that come from now on."""
        price = get_object_or_404(_project(request).token_prices, pk=price_id)
        prices.remove_price(_project(request), _user(request), price)
        return Response(status=204)


class UnpricedView(APIView):
    """Models without a price."""

    needs = READING

    @extend_schema(operation_id="list_unpriced_models", parameters=[RangeParameters], responses=_answers(UnpricedList))
    def get(self, request: Request) -> Response:
        """Return the models whose calls in a time range have no cost, with how many and why."""
        project = _project(request)
        span = read(RangeParameters, request).time_range()
        return Response(UnpricedList({"items": unpriced_models(project.pk, span, prices.prices_of(project.pk))}).data)
