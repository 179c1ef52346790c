"""One's own security: the second factor, its recovery codes, and the sessions that are open.

The steps are allauth's views in our look. What changes a factor asks anew who somebody is (ADR 0059).
"""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.views import ReauthenticateView
from allauth.mfa.base.views import ReauthenticateView as FactorReauthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from heliograph.accounts import forgotten, sessions
from heliograph.accounts.factors import before_second_factor, missing_for
from heliograph.accounts.sessions import just_came
from heliograph.dashboards.access import personal_page, reader_of
from heliograph.dashboards.single_sign_on import provider_name


@before_second_factor
@personal_page
@never_cache
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Show the page."""
    reader = reader_of(request)
    of_reader = list(Authenticator.objects.filter(user=reader).order_by("pk"))
    found = {each.type: each for each in of_reader}
    codes = found.get(Authenticator.Type.RECOVERY_CODES)
    context = {
        "totp": found.get(Authenticator.Type.TOTP),
        "passkeys": [each for each in of_reader if each.type == Authenticator.Type.WEBAUTHN],
        "single_sign_on": provider_name(),
        "linked": SocialAccount.objects.filter(user=reader).first(),
        "may_mail": forgotten.is_possible() and reader.has_usable_password(),
        "codes": codes,
        "codes_left": len(codes.wrap().get_unused_codes()) if codes else 0,
        "required_by": missing_for(reader),
        "sessions": sessions.sessions_of(reader),
        "current_key": request.session.session_key,
    }
    return render(request, "accounts/security.html", context)


@before_second_factor
@personal_page
@require_POST
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """End one of the reader's sessions; of one's own, sign out."""
    session = get_object_or_404(UserSession, pk=session_id, user=reader_of(request))
    if session.session_key == request.session.session_key:
        session.delete()
        logout(request)
        return redirect("login")
    session.end()
    messages.success(request, "That session is ended.")
    return redirect("security")


@before_second_factor
@personal_page
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """End all sessions of the reader but this one."""
    ended = sessions.end_others(reader_of(request), request.session.session_key)
    messages.success(request, f"Ended: {ended}. Only this session is left.")
    return redirect("security")


class Proof(ReauthenticateView):  # type: ignore[misc]  # allauth ships no types
    """Asks for the password anew."""

    template_name = "accounts/proof.html"


class FactorProof(FactorReauthenticateView):  # type: ignore[misc]  # allauth ships no types
    """Asks for a code of the second factor anew."""

    template_name = "accounts/proof.html"


class SwitchOn(ActivateTOTPView):  # type: ignore[misc]  # allauth ships no types
    """Shows the secret of a new authenticator, and takes its first code."""

    template_name = "accounts/factor_on.html"

    def form_valid(self, form: Any) -> HttpResponse:
        """Switch it on, and end the sessions that were begun without it."""
        answer: HttpResponse = super().form_valid(form)
        sessions.end_others(reader_of(self.request), self.request.session.session_key)
        return answer


class SwitchOff(DeactivateTOTPView):  # type: ignore[misc]  # allauth ships no types
    """Asks once more, and switches the authenticator off."""

    template_name = "accounts/factor_off.html"


class RecoveryCodes(ViewRecoveryCodesView):  # type: ignore[misc]  # allauth ships no types
    """Shows the recovery codes, once."""

    template_name = "accounts/recovery_codes.html"


class NewRecoveryCodes(GenerateRecoveryCodesView):  # type: ignore[misc]  # allauth ships no types
    """Makes new recovery codes, in place of all others."""

    template_name = "accounts/recovery_codes_new.html"


def own_page(view: type[Any]) -> Any:
    """Return a view of allauth as a page for who is signed in; none of them is kept by a browser's cache."""

    def page(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if not get_adapter().get_reauthentication_methods(request.user) and not just_came(request):
            messages.error(request, "You have no password to show who you are: sign out and in, and come back at once.")
            return redirect("security")
        answer: HttpResponseBase = view.as_view()(request, **kwargs)
        return answer

    return before_second_factor(personal_page(never_cache(page)))  # type: ignore[arg-type]  # answers of allauth


proof = own_page(Proof)
factor_proof = own_page(FactorProof)
switch_on = own_page(SwitchOn)
switch_off = own_page(SwitchOff)
recovery_codes = own_page(RecoveryCodes)
new_recovery_codes = own_page(NewRecoveryCodes)
