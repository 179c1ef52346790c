"""What a reader is told when the store cannot answer."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.clickhouse import errors
from heliograph.query.filters import InvalidFilterError

P = ParamSpec("P")


def explained(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Answer the store's failures with a page that says what to do, and a status that says whether to retry."""

    @wraps(view)
    def with_explanation(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except InvalidFilterError as invalid:
            context = {"title": "This address cannot be used", "reason": str(invalid)}
            return render(request, "dashboards/failure.html", context, status=400)
        except errors.StoreError as error:
            context = {"title": "The store could not answer", "reason": error.user_text}
            return render(request, "dashboards/failure.html", context, status=503)

    return cast("Callable[Concatenate[HttpRequest, P], HttpResponse]", with_explanation)
