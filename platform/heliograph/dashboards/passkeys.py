"""Passkeys: signing in with one, showing with one who somebody is, adding and removing them.

Each is kept on the device (discoverable) and used with finger, face or PIN (user verification), so it stands for both
factors. The browser's part is static/js/passkey.js.
"""

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn.internal import auth
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    LoginWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from heliograph.accounts import sessions
from heliograph.accounts.doors import OPEN, declared
from heliograph.accounts.passkeys import AddPasskey, ProofByPasskey, SignInByPasskey
from heliograph.dashboards.access import reader_of
from heliograph.dashboards.security import own_page
from heliograph.dashboards.tries import too_many

# Of one address: each question makes a row of a session, which is kept for ten minutes.
QUESTIONS = "30/m/ip"
QUESTION_SECONDS = 600


class Add(AddWebAuthnView):  # type: ignore[misc]  # allauth ships no types
    """Adds a passkey."""

    form_class = AddPasskey
    template_name = "accounts/passkey_add.html"

    def get_context_data(self, **extra: Any) -> dict[str, Any]:
        """Ask for one that is kept on the device and verifies its user."""
        context: dict[str, Any] = super().get_context_data(**extra)
        # allauth's own view drops the form that was sent.
        context |= extra
        options = auth.begin_registration(reader_of(self.request), passwordless=True)
        return context | {"js_data": {"creation_options": options}}

    def form_valid(self, form: Any) -> HttpResponse:
        """Add it, and end the sessions that were begun without it."""
        answer: HttpResponse = super().form_valid(form)
        sessions.end_others(reader_of(self.request), self.request.session.session_key)
        return answer


class Remove(RemoveWebAuthnView):  # type: ignore[misc]  # allauth ships no types
    """Asks once more, and removes a passkey of the reader."""

    template_name = "accounts/passkey_remove.html"

    def form_valid(self, form: Any) -> HttpResponse:
        """Remove it, but not the last second factor of somebody who needs one."""
        if not get_adapter().can_delete_authenticator(self.object):
            fault = get_adapter().error_messages["cannot_delete_authenticator"]
            refused: HttpResponse = self.render_to_response(self.get_context_data(form=form, fault=fault), status=422)
            return refused
        answer: HttpResponse = super().form_valid(form)
        return answer


class Proof(ReauthenticateWebAuthnView):  # type: ignore[misc]  # allauth ships no types
    """Asks for a passkey anew."""

    form_class = ProofByPasskey
    template_name = "accounts/passkey_proof.html"

    def form_invalid(self, form: Any) -> HttpResponse:
        """Ask again, with the message of what was wrong."""
        super().form_invalid(form)
        return redirect(self.request.get_full_path())


class SignIn(LoginWebAuthnView):  # type: ignore[misc]  # allauth ships no types
    """Signs in with a passkey, which says whose it is."""

    form_class = SignInByPasskey

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return the question for the device; so many a minute to one address."""
        if wait := too_many(request, "passkey_question", QUESTIONS, also_get=True):
            return wait
        answer: HttpResponse = super().get(request, *args, **kwargs)
        request.session.set_expiry(QUESTION_SECONDS)
        return answer


add = own_page(Add)
remove = own_page(Remove)
proof = own_page(Proof)
sign_in = declared(OPEN, never_cache(SignIn.as_view()))
