"""What a reader is told when the store cannot answer."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from heliograph.clickhouse import errors
from heliograph.query.filters import InvalidFilterError

logger = logging.getLogger(__name__)
P = ParamSpec("P")

# What to do next, by what went wrong; the first class that fits.
ADVICE: tuple[tuple[type[errors.StoreError], str], ...] = (
    (
        errors.UnavailableError,
        "It is started again by itself, mostly within seconds, and what senders deliver meanwhile is kept on disk. If "
        "it stays away, the terminal of `make run` names the process that failed, and logs/store.log in the data "
        "folder says why.",
    ),
    (errors.CapacityError, "Choose a shorter time range, or add a filter such as a service or a model."),
    (errors.AccessError, "Check the name and password in HELIOGRAPH_CLICKHOUSE_URL, then start Heliograph again."),
    (errors.UserError, "Remove the last filter that you added, or open the page afresh from the menu."),
    (errors.StoreError, "The log of the web process holds the store's own words; please report them."),
)


def explained(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Answer the store's failures with a page that says what to do, and a status that says whether to retry."""

    @wraps(view)
    def with_explanation(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except InvalidFilterError as invalid:
            said: dict[str, object] = {
                "title": "This address cannot be used",
                "reason": f"{str(invalid).capitalize()}.",
            }
            return render(request, "dashboards/failure.html", said, status=400)
        except errors.StoreError as error:
            logger.warning("The store could not answer %s: %s", request.path, error)
            context: dict[str, object] = {
                "title": "The store could not answer",
                "reason": error.user_text,
                "advice": next(text for kind, text in ADVICE if isinstance(error, kind)),
                "retry": True,
            }
            return render(request, "dashboards/failure.html", context, status=503)

    return cast("Callable[Concatenate[HttpRequest, P], HttpResponse]", with_explanation)
