"""What is taken of a browser as a passkey: bounded, and refused where it is no answer to the question asked."""

from collections.abc import Callable
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms

# Of one person: a laptop, a telephone and two security keys are many.
MAX_PASSKEYS = 20
# A credential is one or two kilobytes, with a manufacturer's certificates some more.
MAX_CREDENTIAL_CHARACTERS = 32_768
# What the library raises for JSON of another shape.
_OTHER_SHAPE = (ValueError, KeyError, AttributeError, TypeError)


def _bounded(form: forms.Form) -> None:
    if len(str(form.data.get("credential", ""))) > MAX_CREDENTIAL_CHARACTERS:
        raise forms.ValidationError("This is larger than any passkey.")


class AddPasskey(AddWebAuthnForm):  # type: ignore[misc]  # allauth ships no types
    """A new passkey: its name, and what the browser made."""

    name = forms.CharField(max_length=100, required=False)

    def clean(self) -> dict[str, Any]:
        """Refuse what is too large, too many or no answer. Raises ValidationError."""
        _bounded(self)
        if Authenticator.objects.filter(user=self.user, type=Authenticator.Type.WEBAUTHN).count() >= MAX_PASSKEYS:
            raise forms.ValidationError(f"You have {MAX_PASSKEYS} passkeys: remove one first.")
        try:
            cleaned: dict[str, Any] = super().clean()
        except _OTHER_SHAPE as error:
            raise get_adapter().validation_error("incorrect_code") from error
        return cleaned


def _answer_of(form: forms.Form, clean: Callable[[], Any]) -> Any:
    """Return the passkey that a form names. Raises ValidationError for what is too large or no answer."""
    _bounded(form)
    try:
        return clean()
    except _OTHER_SHAPE as error:
        raise get_adapter().validation_error("incorrect_code") from error


class SignInByPasskey(LoginWebAuthnForm):  # type: ignore[misc]  # allauth ships no types
    """Somebody who says by a passkey alone who they are."""

    def clean_credential(self) -> Any:
        """Return the passkey. Raises ValidationError."""
        return _answer_of(self, super().clean_credential)


class SecondStepByPasskey(AuthenticateWebAuthnForm):  # type: ignore[misc]  # as above
    """A passkey after a password."""

    def clean_credential(self) -> Any:
        """Return the passkey. Raises ValidationError."""
        return _answer_of(self, super().clean_credential)


class ProofByPasskey(ReauthenticateWebAuthnForm):  # type: ignore[misc]  # as above
    """A passkey before something is changed."""

    def clean_credential(self) -> Any:
        """Return the passkey. Raises ValidationError."""
        return _answer_of(self, super().clean_credential)
