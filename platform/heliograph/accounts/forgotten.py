"""A forgotten password: a link by mail to the address that somebody has here, and how such an address is set.

The link's token is Django's: a hash over the password, the address and the last sign-in, so that it ends with any of
them, and after an hour (PASSWORD_RESET_TIMEOUT). It is not stored.
"""

from typing import Final

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import signing
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse

from heliograph.accounts import sessions
from heliograph.accounts.models import User

# Of a name or an address that is typed; the columns hold no more.
MAX_TYPED = 254
# People may share an address; more than these is another kind of list.
MOST_OF_ADDRESS = 5
# One mail to a person in that time, so that nobody's mailbox is filled by others.
BETWEEN_MAILS_SECONDS = 300
ADDRESS_SECONDS = 86_400
_SALT: Final = "heliograph.address"


class _Tokens(PasswordResetTokenGenerator):
    """Django's, for nothing else that Django makes tokens for."""

    key_salt = "heliograph.forgotten"


_tokens = _Tokens()


def is_possible() -> bool:
    """Whether mail goes out from here."""
    return bool(settings.EMAIL_HOST)


def meant_by(typed: str) -> list[User]:
    """Return who has this name or address, and a password to forget and an address to write to.

    Both, as a name may look like somebody else's address: who takes such a one must not keep that person's mail away.
    """
    people = User.objects.filter(is_active=True, is_service_account=False).exclude(email="")
    people = people.exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    of_address = people.filter(email__iexact=typed).exclude(username=typed).order_by("pk")
    return [*people.filter(username=typed), *of_address[:MOST_OF_ADDRESS]]


def send_link(user: User) -> bool:
    """Mail the link; return False where somebody was just sent one. Raises SMTPException, OSError."""
    noted = f"forgotten.{user.pk}"
    if not cache.add(noted, 1, BETWEEN_MAILS_SECONDS):
        return False
    link = settings.BASE_URL + reverse("login-reset", args=[f"{user.pk}.{_tokens.make_token(user)}"])
    mail = EmailMessage(
        subject="Your password in Heliograph",
        body=f"Somebody, you we hope, asked for a new password of {user.get_username()} at {settings.BASE_URL}.\n\n"
        f"{link}\n\nThe link works once, within an hour. If it was not you, do nothing: the password stays.\n",
        to=[user.email],
    )
    try:
        mail.send()
    except OSError:  # SMTPException is one
        cache.delete(noted)
        raise
    return True


def whose(token: str) -> User | None:
    """Return whose link this is; None for one that is forged, used or too old."""
    pk, _, rest = token.partition(".")
    if not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        return None
    user = User.objects.filter(pk=int(pk), is_active=True, is_service_account=False).first()
    return user if user and user.has_usable_password() and _tokens.check_token(user, rest) else None


@transaction.atomic
def set_password(token: str, password: str) -> User | None:
    """Set a password by a link, and end every session; None where the link is good no more."""
    seen = whose(token)
    # Once more with the row locked: of two who hold the link, one sets a password.
    user = seen and User.objects.select_for_update().filter(pk=seen.pk, password=seen.password).first()
    if user is None:
        return None
    user.set_password(password)
    user.save(update_fields=["password"])
    sessions.end_others(user, None)
    return user


def send_confirmation(user: User, address: str) -> None:
    """Ask at an address whether it is this person's. Raises SMTPException, OSError."""
    token = signing.dumps([user.pk, user.email, address], salt=_SALT)
    mail = EmailMessage(
        subject="Your address in Heliograph",
        body=f"{user.get_username()} at {settings.BASE_URL} gave this address for the day a password is forgotten.\n\n"
        f"{settings.BASE_URL}{reverse('security-address-confirm', args=[token])}\n\n"
        "Open the link where you are signed in, within a day. If it was not you, do nothing.\n",
        to=[address],
    )
    mail.send()


def confirmed(user: User, token: str) -> str | None:
    """Return the address that a link confirms for this person; None for another's, an older one, a forged one."""
    try:
        pk, before, address = signing.loads(token, salt=_SALT, max_age=ADDRESS_SECONDS)
    except (signing.BadSignature, ValueError):
        return None
    return str(address) if (pk, before) == (user.pk, user.email) else None
