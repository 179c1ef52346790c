"""Accepting an invitation: by who is signed in, or by who makes an account of their own with it."""

import logging

from django import forms
from django.contrib import messages
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from heliograph.accounts import forgotten, people
from heliograph.accounts.doors import OPEN, declared
from heliograph.accounts.models import User
from heliograph.dashboards.entrance import let_in
from heliograph.dashboards.new_password import NewPasswordForm

logger = logging.getLogger(__name__)


class JoinForm(NewPasswordForm):
    """A new person's name and password."""

    username = forms.CharField(max_length=150, validators=[UnicodeUsernameValidator()])
    # The password is compared with the name.
    field_order = ("username", "password")

    def whose(self) -> User:
        """Return who joins."""
        return User(username=self.cleaned_data.get("username", ""))


def _ask_for_address(request: HttpRequest, user: User, address: str) -> None:
    """Ask at the invitation's address whether it is theirs who came by it; it becomes somebody's by that alone."""
    if not (address and forgotten.is_possible()):
        return
    try:
        forgotten.send_confirmation(user, address)
    except OSError as error:  # SMTPException is one
        logger.warning("no link to confirm an address could be sent: %s", type(error).__name__)
        messages.warning(request, "Set an address under Security, for the day your password is forgotten.")
    else:
        messages.info(request, f"Open the link that was sent to {address}: a forgotten password's goes there then.")


def _show(request: HttpRequest, token: str) -> HttpResponse:
    invitation = people.invitation_of(token)
    if invitation is None:
        return render(request, "accounts/invitation_void.html", status=404)
    form = JoinForm(request.POST if request.method == "POST" else None)
    fault = ""
    if request.method == "POST":
        try:
            if isinstance(request.user, User):
                people.accept(invitation, request.user)
            elif form.is_valid():
                user = people.join(invitation, form.cleaned_data["username"], form.cleaned_data["password"])
                let_in(request, user, "password", reverse("home"))
                _ask_for_address(request, user, invitation.email)
            if not form.errors or isinstance(request.user, User):
                messages.success(request, f"Welcome to {invitation.place}.")
                return redirect("home")
        except people.PeopleError as error:
            fault = str(error)
    context = {"invitation": invitation, "form": form, "fault": fault}
    return render(request, "accounts/invitation.html", context, status=422 if fault or form.errors else 200)


show = declared(OPEN, never_cache(require_http_methods(["GET", "HEAD", "POST"])(_show)))
