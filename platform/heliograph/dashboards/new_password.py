"""Choosing a password: on joining, and after one was forgotten."""

from django import forms
from django.contrib.auth import password_validation

from heliograph.accounts.models import User


class NewPasswordForm(forms.Form):
    """A new password, as it is typed: signing in does not cut its spaces off either."""

    password = forms.CharField(max_length=200, strip=False, widget=forms.PasswordInput)

    def whose(self) -> User:
        """Return whose it becomes, as far as is known: it must not be like their name or address."""
        raise NotImplementedError

    def clean_password(self) -> str:
        """Refuse what is guessed at once. Raises ValidationError."""
        password = str(self.cleaned_data["password"])
        password_validation.validate_password(password, self.whose())
        return password
