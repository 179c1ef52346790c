"""What allauth asks this installation: by whom somebody is let in, where from, and how secrets are kept."""

from datetime import timedelta
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from heliograph.accounts import secrets
from heliograph.accounts.addresses import client_ip
from heliograph.accounts.factors import first_that_requires, has_second_factor
from heliograph.accounts.models import User
from heliograph.accounts.sessions import just_came

# allauth's column of an address takes no empty one: what a request over a Unix socket has.
NO_ADDRESS = "::"
BY_PROVIDER = timedelta(hours=12)
_BACKEND = "django.contrib.auth.backends.ModelBackend"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Nobody signs up by themselves; who has a second factor proves with it that they are who they are."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People come by invitation."""
        return False

    def pre_login(self, request: HttpRequest, user: User, **login: Any) -> HttpResponse | None:
        """Turn away who was let in no more, and service accounts, which never sign in."""
        if user.is_active and not user.is_service_account:
            return None
        return redirect("login")

    def login(self, request: HttpRequest, user: User) -> None:
        """Sign somebody in who has passed every step."""
        login(request, user, backend=_BACKEND)
        by_provider = any(each["method"] == "socialaccount" for each in get_authentication_records(request, user))
        # What was begun before somebody was known ends sooner (dashboards/passkeys.py). Who loses a group loses the
        # role as they sign in the next time, so that is after a working day: at that time, used or not.
        request.session.set_expiry(timezone.now() + BY_PROVIDER if by_provider else None)

    def is_safe_url(self, url: str | None) -> bool:
        """Whether to send somebody there after signing in: only to this server, whatever names it answers to."""
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={self.request.get_host()}, require_https=self.request.is_secure()
        )

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address of who asks, as everywhere else."""
        return client_ip(request) or NO_ADDRESS

    def is_reauthentication_required(self, *, app: str, **_: Any) -> bool:
        """Whether to ask anew. Who has nothing to be asked for, neither password nor factor, signs in anew instead."""
        user = self.request.user
        return not (isinstance(user, User) and not self.get_reauthentication_methods(user) and just_came(self.request))

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Return by what somebody shows anew who they are.

        Who has a second factor, by that: a password that was read over a shoulder does not switch it off.
        """
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if isinstance(user, User) and has_second_factor(user):
            # Everybody has recovery codes, which are not what to ask of a passkey's owner first.
            codes_last = not Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()
            of_factors = [each for each in methods if each["id"].startswith("mfa_")]
            return sorted(of_factors, key=lambda each: codes_last and each["id"] == "mfa_reauthenticate")
        return methods


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    """Secrets of second factors are encrypted as every stored secret is."""

    error_messages = DefaultMFAAdapter.error_messages | {
        "cannot_delete_authenticator": "Your organisation requires a second factor.",
        "incorrect_code": "This code does not match. Take a new one, and see that the clock of your device is right.",
        "secret_lost": "Your second factor was stored with a key that is gone: ask who runs this installation to "
        "switch it off (heliograph users second-factor-off).",
    }

    def encrypt(self, text: str) -> str:
        """Return what is stored."""
        return secrets.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret. Raises ValidationError, which forms show, where no key opens it."""
        try:
            return secrets.decrypt(encrypted_text)
        except secrets.SecretLostError as error:
            raise self.validation_error("secret_lost") from error

    def _get_site_name(self) -> str:
        return "Heliograph"

    def get_totp_label(self, user: User) -> str:
        """Return what the telephone's list shows."""
        return str(user.get_username())

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """Whether it may be switched off: not the last one of somebody whose organisation requires one."""
        others = Authenticator.objects.filter(user=authenticator.user).exclude(pk=authenticator.pk)
        is_last = not others.exclude(type=Authenticator.Type.RECOVERY_CODES).exists()
        return not (is_last and first_that_requires(authenticator.user))
