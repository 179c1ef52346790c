"""Signing in by an identity provider, of OpenID Connect or SAML: allauth's flow, read more strictly, and roles.

An account is found by the provider and its number for it (`sub`, NameID) and by nothing else, above all by no e-mail
address.
Who has an account here links it while signed in. New people come only by a group that the settings map to a role.
"""

import logging
import secrets
from typing import Any

import requests
from allauth.account.decorators import reauthentication_required
from allauth.account.utils import get_next_redirect_url
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.helpers import complete_social_login
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import ProviderException
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from heliograph.accounts import groups, saml
from heliograph.accounts.addresses import client_ip
from heliograph.accounts.doors import OPEN, declared
from heliograph.accounts.models import User
from heliograph.accounts.provider_numbers import CLAIM, number_of
from heliograph.audit.changes import collected
from heliograph.audit.models import Entry
from heliograph.audit.record import record
from heliograph.dashboards.access import personal_page, reader_of
from heliograph.dashboards.tries import too_many

PROVIDER = "oidc"
# A provider's document, token or list of keys takes some kilobytes; a token with thousands of groups some hundred.
MAX_ANSWER_BYTES = 2**20
ANSWER_SECONDS = 10
# What was begun and not ended is kept no longer; each try makes the row of a session.
TRY_SECONDS = 600
_TRIES = "30/m/ip"
# From a provider's answer to the page that takes it, which is one redirect away.
ANSWER_KEPT_SECONDS = 120
MAX_REASON_CHARACTERS = 300
logger = logging.getLogger(__name__)


class BoundedSession(requests.Session):
    """Reads no answer beyond a bound."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send, and read the answer. Raises RequestException for one that is too large."""
        answer = super().request(*args, **kwargs | {"timeout": ANSWER_SECONDS, "stream": True})
        try:
            body = answer.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        finally:
            answer.close()
        if len(body) > MAX_ANSWER_BYTES:
            raise requests.RequestException("the provider's answer is too large")
        answer._content = body
        return answer


class Provider(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth ships no types
    """The provider's addresses and answers, by the letter of OpenID Connect Core."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, PROVIDER)

    @property
    def openid_config(self) -> dict[str, Any]:
        """Return its discovery document. Raises ProviderException for that of another issuer."""
        found: dict[str, Any] = super().openid_config
        if str(found.get("issuer", "")).rstrip("/") != self.get_provider().app.settings["server_url"]:
            raise ProviderException("the discovery document names another issuer")
        return found

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Return the address that is registered with the provider, whatever name this request came by."""
        return str(settings.BASE_URL + reverse("single-sign-on-callback"))

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Return who it is. Raises ProviderException for a token that is missing, or information of somebody else."""
        try:
            claims = self._decode_id_token(app, kwargs["response"]["id_token"])
            told = self._fetch_user_info(token.token) if "userinfo_endpoint" in self.openid_config else {}
            if told and told["sub"] != claims["sub"]:
                raise ProviderException("the user's information is of somebody else")
            # `sub` and whoever vouches for it come from what is signed.
            number = number_of(str(claims["iss"]), str(claims["sub"]))
            data = {"id_token": claims, "userinfo": {**claims, **told, CLAIM: number}}
            return self.get_provider().sociallogin_from_response(request, data)
        except (KeyError, TypeError, ValueError) as error:
            raise ProviderException(f"the provider's answer is not as it should be: {error!r}") from error

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        # allauth trusts the connection where it fetched the token itself; the way may be one of plain http.
        claims: dict[str, Any] = jwtkit.verify_and_decode(
            credential=id_token,
            keys_url=self.openid_config["jwks_uri"],
            issuer=self.openid_config["issuer"],
            audience=app.client_id,
            lookup_kid=jwtkit.lookup_kid_jwk,
        )
        return claims


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Who gets an account by the provider, and what they may do."""

    def get_requests_session(self) -> requests.Session:
        """Return what the provider is asked with."""
        return BoundedSession()

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Leave addresses aside, by which accounts would be found, and give the roles of the groups."""
        sociallogin.email_addresses = []
        if sociallogin.is_existing:
            give_roles(request, sociallogin.user, claims_of(sociallogin))

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> Any:
        """Propose a name for somebody new; one that is taken is made another."""
        sociallogin.user.username = str(data.get("username") or "")[:150]
        return sociallogin.user

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Whether somebody new has a group that has a role. Raises ImmediateHttpResponse with what to do otherwise."""
        if any(groups.roles_of(groups.groups_in(claims_of(sociallogin))).values()):
            return True
        messages.error(
            request,
            "Nothing here is open to your groups. If you have an account here, sign in to it and link it under "
            "Security; else ask an admin.",
        )
        raise ImmediateHttpResponse(redirect("login"))

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Make somebody new, with the roles of their groups."""
        user = super().save_user(request, sociallogin, form)
        if not isinstance(user, User):
            raise TypeError("people are users")
        give_roles(request, user, claims_of(sociallogin))
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: SocialAccount) -> str:
        """Go back to where linking was asked for."""
        return reverse("security")

    def on_authentication_error(self, request: HttpRequest, provider: Any, **_: Any) -> None:
        """Say that it did not work. Raises ImmediateHttpResponse."""
        messages.error(request, f"Signing in by {provider_name()} did not work. Try once more, or ask an admin.")
        raise ImmediateHttpResponse(redirect("login"))


def provider_name() -> str:
    """Return what the provider is called here, '' where none is set."""
    if settings.OIDC_ISSUER:
        return str(settings.OIDC_NAME)
    return str(settings.SAML_NAME) if saml.is_set() else ""


def claims_of(login: SocialLogin) -> dict[str, Any]:
    """Return what the provider said of somebody."""
    claims: dict[str, Any] = login.account.extra_data.get("userinfo", {})
    return claims


def give_roles(request: HttpRequest, user: User, claims: dict[str, Any]) -> None:
    """Give somebody the roles of their groups, and take those that the groups gave no more; with entries of the log."""
    for name, role in groups.roles_of(groups.groups_in(claims)).items():
        organization = groups.organization_of(name)
        if organization is None:
            continue
        with collected() as changes:
            groups.place(user, organization, role)
        if changes:
            record(
                "groups",
                via=Entry.Via.PAGE,
                actor=user,
                organization=organization,
                ip=client_ip(request),
                changes=changes,
            )


def _to_provider(request: HttpRequest, process: str, to: str | None) -> HttpResponse:
    if not provider_name():
        raise Http404("No provider is set.")
    if wait := too_many(request, "single_sign_on", _TRIES):
        return wait
    is_known = request.user.is_authenticated
    answer = _asked_by_oidc(request, process, to) if settings.OIDC_ISSUER else _asked_by_saml(request, process, to)
    if not is_known:
        request.session.set_expiry(TRY_SECONDS)
    return answer


def _going(request: HttpRequest, url: str) -> HttpResponse:
    return render(request, "accounts/going.html", {"url": url, "name": provider_name()})


def _asked_by_oidc(request: HttpRequest, process: str, to: str | None) -> HttpResponse:
    adapter = Provider(request)
    provider = adapter.get_provider()
    provider.get_oauth2_adapter = lambda _request: adapter
    try:
        answer: HttpResponse = provider.redirect(request, process, next_url=to)
    except (requests.RequestException, ProviderException, KeyError) as error:
        answer = _failed(request, provider, error)
    url = answer.headers.get("location", "")
    return _going(request, url) if url.startswith(("https://", "http://")) else answer


def _of_saml(request: HttpRequest) -> saml.Provider:
    return saml.Provider(request, app=ProviderAdapter(request).get_app(request, provider=saml.Provider.id))


def _asked_by_saml(request: HttpRequest, process: str, to: str | None) -> HttpResponse:
    provider = _of_saml(request)
    try:
        return _going(request, provider.redirect(request, process, to))
    except saml.SamlError as error:
        return _failed(request, provider, error)


def _failed(request: HttpRequest, provider: Any, error: Exception) -> HttpResponse:
    from_allauth = ProviderAdapter(request)
    try:
        from_allauth.on_authentication_error(request, provider, exception=error)
    except ImmediateHttpResponse as answer:
        return answer.response  # type: ignore[no-any-return]  # allauth ships no types
    raise error


@require_POST
def _sign_in(request: HttpRequest) -> HttpResponse:
    return _to_provider(request, "login", get_next_redirect_url(request))


@require_safe
def _callback(request: HttpRequest) -> HttpResponse:
    if not settings.OIDC_ISSUER:
        raise Http404("No provider is set.")
    before = request.user.pk
    adapter = Provider(request)
    try:
        with collected() as changes:
            answer: HttpResponse = OAuth2CallbackView.adapter_view(adapter)(request)
    except (ProviderException, OAuth2Error, KeyError) as error:
        return _failed(request, adapter.get_provider(), error)
    _record_link(request, before, answer, changes)
    return answer


def _record_link(request: HttpRequest, before: int | None, answer: HttpResponse, changes: list[dict[str, Any]]) -> None:
    linked = [each for each in changes if (each["kind"], each["what"]) == ("social account", "created")]
    if linked and before == request.user.pk:
        # That somebody signed in is noted where everybody's sign-in is.
        record(
            "security-link",
            via=Entry.Via.PAGE,
            actor=reader_of(request),
            ip=client_ip(request),
            status=answer.status_code,
            changes=linked,
        )


def _needs_saml() -> None:
    if settings.OIDC_ISSUER or not saml.is_set():
        raise Http404("No provider of SAML is set.")


@require_POST
def _saml_answer(request: HttpRequest) -> HttpResponse:
    """Verify what a browser brings from the provider, and have it come back with its own cookies.

    The provider's page posts from another site, so the browser sends no cookie of ours along. What is verified waits
    for the next request, under a name that nobody guesses; what is not is kept nowhere. RelayState is not read: where
    to go was kept before asking.
    """
    _needs_saml()
    if wait := too_many(request, "saml_answer", _TRIES):
        return wait
    # Nothing larger is read: Django reads a form's body up to DATA_UPLOAD_MAX_MEMORY_SIZE.
    is_form = request.content_type == "application/x-www-form-urlencoded"
    sent = request.POST.get("SAMLResponse", "") if is_form else ""
    try:
        answer = saml.read(sent)
    except saml.SamlError as error:
        return _refused(request, error)
    ticket = secrets.token_urlsafe(32)
    cache.set(_waiting(ticket), answer, ANSWER_KEPT_SECONDS)
    to = HttpResponse(status=303)
    to["location"] = f"{reverse('saml-finish')}?ticket={ticket}"
    return to


def _waiting(ticket: str) -> str:
    return f"saml.waiting.{ticket}"


def _refused(request: HttpRequest, error: saml.SamlError) -> HttpResponse:
    # Some of it are words of the answer, which anybody may have posted.
    logger.warning("an answer of SAML was refused: %s", repr(str(error))[:MAX_REASON_CHARACTERS])
    return _failed(request, _of_saml(request), error)


@require_safe
def _saml_finish(request: HttpRequest) -> HttpResponse:
    """Sign in who asked: the browser whose question the answer is to, once."""
    _needs_saml()
    ticket = request.GET.get("ticket", "")[:100]
    answer = cache.get(_waiting(ticket))
    cache.delete(_waiting(ticket))
    if not isinstance(answer, saml.Answer):
        return _refused(request, saml.SamlError("nothing waits for this browser"))
    provider = _of_saml(request)
    try:
        state = provider.unstash_redirect_state(request, answer.in_response_to)
    except PermissionDenied:
        return _refused(request, saml.SamlError("this browser did not ask"))
    # A question is kept for ten minutes, so an assertion can come back for no longer. By `add`: of two at once one.
    if not cache.add(f"saml.used.{answer.number}.{answer.assertion_id}"[:240], 1, 2 * TRY_SECONDS):
        return _refused(request, saml.SamlError("the assertion was used before"))
    before = request.user.pk
    login = provider.sociallogin_from_response(request, answer)
    login.state = state
    with collected() as changes:
        done: HttpResponse = complete_social_login(request, login)
    _record_link(request, before, done, changes)
    return done


@require_safe
def _saml_metadata(request: HttpRequest) -> HttpResponse:
    """Show what the provider is told of us."""
    _needs_saml()
    try:
        return HttpResponse(saml.metadata(), content_type="application/samlmetadata+xml")
    except saml.SamlError as error:
        logger.warning("no metadata of SAML: %s", error)
        raise Http404("The settings of SAML are not whole.") from error


@personal_page
@require_POST
@reauthentication_required  # type: ignore[untyped-decorator]  # allauth ships no types
def link(request: HttpRequest) -> HttpResponse:
    """Link the reader's account with one of the provider."""
    return _to_provider(request, "connect", reverse("security"))


@personal_page
@require_POST
@reauthentication_required  # type: ignore[untyped-decorator]  # as above
def unlink(request: HttpRequest) -> HttpResponse:
    """Undo the link of the reader; who has no other way in keeps it."""
    reader = reader_of(request)
    if not reader.has_usable_password():
        messages.error(request, "You have no password, so this is your only way in.")
        return redirect("security")
    for account in SocialAccount.objects.filter(user=reader):
        account.delete()
    messages.success(request, "It signs you in no more.")
    return redirect("security")


sign_in = declared(OPEN, never_cache(_sign_in))
callback = declared(OPEN, never_cache(_callback))
# By the provider's page, which has no token of ours; what it brings is signed.
saml_answer = declared(OPEN, csrf_exempt(never_cache(_saml_answer)))
saml_finish = declared(OPEN, never_cache(_saml_finish))
saml_metadata = declared(OPEN, _saml_metadata)
