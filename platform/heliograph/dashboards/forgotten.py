"""A forgotten password: asking for a link, setting a new one by it, and one's own address to send it to."""

import logging
from typing import Any

from allauth.account.decorators import reauthentication_required
from celery import current_app
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from kombu.exceptions import OperationalError

from heliograph.accounts import forgotten
from heliograph.accounts.addresses import client_ip
from heliograph.accounts.doors import OPEN, declared
from heliograph.accounts.models import User
from heliograph.audit.changes import collected
from heliograph.audit.models import Entry
from heliograph.audit.record import record
from heliograph.dashboards.access import personal_page, reader_of
from heliograph.dashboards.new_password import NewPasswordForm
from heliograph.dashboards.tries import too_many

logger = logging.getLogger(__name__)
SEND = "heliograph.dashboards.tasks.send_reset_link"
_ASKED = "10/10m/ip"
_TRIED = "30/10m/ip"
_SET = "10/10m/user"


class AskForm(forms.Form):
    """Who somebody is."""

    who = forms.CharField(max_length=forgotten.MAX_TYPED)


class ResetForm(NewPasswordForm):
    """A new password of somebody."""

    def __init__(self, user: User, *args: Any) -> None:
        super().__init__(*args)
        self._user = user

    def whose(self) -> User:
        """Return who forgot theirs."""
        return self._user


class AddressForm(forms.Form):
    """Where a link is sent."""

    address = forms.EmailField(max_length=forgotten.MAX_TYPED)


def _ask(request: HttpRequest) -> HttpResponse:
    """Take a name or an address. Whether somebody has it, neither the answer nor its time tells."""
    if request.method != "POST" or not forgotten.is_possible():
        return render(request, "accounts/forgotten.html", {"is_possible": forgotten.is_possible()})
    if wait := too_many(request, "password_forgotten", _ASKED):
        return wait
    form = AskForm(request.POST)
    if not form.is_valid():
        return render(request, "accounts/forgotten.html", {"is_possible": True, "form": form}, status=422)
    try:
        current_app.send_task(SEND, args=[form.cleaned_data["who"], client_ip(request)], retry=False)
    except (OSError, OperationalError):
        logger.exception("no link could be asked for")
        fault = "This cannot be done right now. Try once more in some minutes, or ask an admin."
        return render(request, "accounts/forgotten.html", {"is_possible": True, "fault": fault}, status=503)
    return render(request, "accounts/forgotten.html", {"is_possible": True, "asked": True})


def _reset(request: HttpRequest, token: str) -> HttpResponse:
    if wait := too_many(request, "password_reset", _TRIED):
        return wait
    user = forgotten.whose(token)
    form = ResetForm(user, request.POST if request.method == "POST" else None) if user else None
    if form and form.is_valid():
        with collected() as changes:
            user = forgotten.set_password(token, form.cleaned_data["password"])
        if user:
            record("login-reset", via=Entry.Via.PAGE, actor=user, ip=client_ip(request), status=302, changes=changes)
            messages.success(request, "Your password is changed, and every session of yours ended. Sign in with it.")
            return redirect("login")
    if user is None:
        return render(request, "accounts/reset.html", {"form": None}, status=404)
    return render(
        request, "accounts/reset.html", {"form": form, "who": user}, status=422 if form and form.errors else 200
    )


@personal_page
@require_POST
@reauthentication_required  # type: ignore[untyped-decorator]  # allauth ships no types
def change_address(request: HttpRequest) -> HttpResponse:
    """Ask at a new address of the reader's whether it is theirs."""
    form = AddressForm(request.POST)
    if not forgotten.is_possible():
        messages.error(request, "No mail goes out from this installation (HELIOGRAPH_SMTP_HOST).")
    elif not form.is_valid():
        messages.error(request, "That is no e-mail address.")
    else:
        if wait := too_many(request, "own_address", _SET):
            return wait
        try:
            forgotten.send_confirmation(reader_of(request), form.cleaned_data["address"])
        except OSError as error:  # SMTPException is one
            messages.error(request, f"The mail server did not take it ({type(error).__name__}). Try once more later.")
        else:
            messages.success(request, "Open the link that was sent there, and the address is yours.")
    return redirect("security")


@personal_page
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm_address(request: HttpRequest, token: str) -> HttpResponse:
    """Take the address that a mailed link is of."""
    reader = reader_of(request)
    address = forgotten.confirmed(reader, token)
    if address is None or request.method != "POST":
        return render(request, "accounts/address.html", {"address": address}, status=200 if address else 404)
    reader.email = address
    reader.save(update_fields=["email"])
    messages.success(request, f"A forgotten password's link goes to {address} from now on.")
    return redirect("security")


_FORM = ["GET", "HEAD", "POST"]
ask = declared(OPEN, never_cache(require_http_methods(_FORM)(_ask)))
reset = declared(OPEN, never_cache(require_http_methods(_FORM)(_reset)))
