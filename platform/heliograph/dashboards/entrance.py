"""The way in: the start page, signing in by a password or with a one-time link, and the second step.

Every way in ends in allauth's steps of a sign-in, which ask for the second factor of who has one (docs/adr/0059).
"""

from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator
from django.contrib.auth import authenticate, views
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from sesame.views import LoginView as SesameLoginView

from heliograph.accounts.doors import OPEN, declared
from heliograph.accounts.models import Project, User
from heliograph.accounts.passkeys import SecondStepByPasskey
from heliograph.dashboards.access import personal_page, reader_of
from heliograph.dashboards.single_sign_on import provider_name


@personal_page
def home(request: HttpRequest) -> HttpResponse:
    """Send the reader to the first project, or say that there is none."""
    project = Project.objects.visible_to(reader_of(request)).order_by("created_at").first()
    if project is None:
        return render(request, "dashboards/no_project.html", status=403)
    return redirect("overview", project.slug)


def let_in(request: HttpRequest, user: User, by: str, to: str) -> HttpResponse:
    """Sign somebody in who has shown who they are, or ask for their second factor first."""
    record_authentication(request, user, by)
    answer: HttpResponse = perform_login(request, user, redirect_url=to)
    return answer


class PasswordLogin(views.LoginView):
    """The form of name and password. Tries are counted by django-axes, in the backends."""

    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **extra: Any) -> dict[str, Any]:
        """Add the name of the provider by which people sign in, '' where there is none."""
        return super().get_context_data(**extra) | {"single_sign_on": provider_name()}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Go on with the right password."""
        user = form.get_user()
        if not isinstance(user, User):
            raise TypeError("a valid form has a user")
        return let_in(self.request, user, "password", self.get_success_url())


class LoginLink(SesameLoginView):  # type: ignore[misc]  # sesame ships no types
    """Sign in with the link printed at start; it works once, within an hour."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Go on with a link that is good. It stands for the password: who has a second factor is asked for it."""
        user = authenticate(request, sesame=request.GET.get("sesame", ""), scope="", max_age=None)
        if not isinstance(user, User):
            return self.login_failed()
        return let_in(request, user, "link", self.get_success_url())

    def login_failed(self) -> HttpResponseRedirect:
        """Lead a used or expired link to the password form instead of a bare 403."""
        return redirect("login")


class SecondStep(AuthenticateView):  # type: ignore[misc]  # allauth ships no types
    """Asks for a code of the second factor, of who has just shown the first."""

    webauthn_form_class = SecondStepByPasskey
    template_name = "accounts/second_step.html"

    def get_context_data(self, **extra: Any) -> dict[str, Any]:
        """Add whose it is: nobody is signed in yet."""
        who = self.stage.login.user
        types = set(Authenticator.objects.filter(user=who).values_list("type", flat=True))
        has = {"has_totp": Authenticator.Type.TOTP in types, "has_passkey": Authenticator.Type.WEBAUTHN in types}
        return {**super().get_context_data(**extra), "who": who, **has}


login = declared(OPEN, PasswordLogin.as_view())
login_link = declared(OPEN, never_cache(LoginLink.as_view()))
second_step = declared(OPEN, SecondStep.as_view())
