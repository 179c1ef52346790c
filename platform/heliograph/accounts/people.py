"""Letting people in and out: invitations, roles, service accounts. Whoever calls has asked who may (roles.may_give).

The link of an invitation is signed and not stored: a copy of the database opens nothing. It is one use long, ends by
its date, and is void once it is taken back.
"""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core import signing
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from heliograph.accounts.models import Invitation, Membership, Organization, Project, ProjectMembership, User
from heliograph.accounts.permissions import role_at
from heliograph.accounts.roles import Role, may_give

Place = Organization | Project
# Long enough for a holiday's beginning, short enough for a forgotten mail.
INVITATION_DAYS = 7
# Of one organisation; more are a mistake or somebody who sends mail to strangers.
MAX_OPEN_INVITATIONS = 100
_SALT = "heliograph.invitation"


class PeopleError(Exception):
    """Something that cannot be done; the text says what to do instead."""


def invite(place: Place, role: Role, by: User, email: str = "") -> Invitation:
    """Make an invitation. Raises PeopleError where too many are open."""
    organization = place if isinstance(place, Organization) else place.organization
    open_ones = organization.invitations.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())
    if open_ones.count() >= MAX_OPEN_INVITATIONS:
        raise PeopleError(f"{MAX_OPEN_INVITATIONS} invitations are open: take some back first.")
    return Invitation.objects.create(
        organization=organization,
        project=place if isinstance(place, Project) else None,
        role=role,
        email=email,
        invited_by=by,
        expires_at=timezone.now() + timedelta(days=INVITATION_DAYS),
    )


def link_of(invitation: Invitation) -> str:
    """Return the address that accepts an invitation."""
    return str(settings.BASE_URL + reverse("invitation", args=[signing.dumps(invitation.pk, salt=_SALT)]))


def invitation_of(token: str) -> Invitation | None:
    """Return the open invitation of a link's last part; None for one that is forged, used, taken back or too old.

    None as well where whoever made it could not make it today: a link must not outlast the role of its author, who
    might be the one who comes back by it.
    """
    try:
        pk = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        return None
    found = Invitation.objects.select_related("organization", "project", "invited_by").filter(pk=pk).first()
    return found if found and found.is_open and _could_be_made(found) else None


def _could_be_made(invitation: Invitation) -> bool:
    role = role_at(invitation.invited_by, invitation.place) if invitation.invited_by else None
    return role is not None and may_give(role, Role(invitation.role))


def send(invitation: Invitation) -> None:
    """Send the link by mail. Raises PeopleError."""
    if not settings.EMAIL_HOST:
        raise PeopleError("This installation has no mail server (HELIOGRAPH_SMTP_HOST): hand the link over.")
    who = invitation.invited_by.get_username() if invitation.invited_by else "Somebody"
    mail = EmailMessage(
        subject=" ".join(f"Your invitation to {invitation.place} in Heliograph".split()),
        body=f"{who} invites you to {invitation.place} as {invitation.role}.\n\n{link_of(invitation)}\n\n"
        f"The link works once, until {invitation.expires_at:%Y-%m-%d %H:%M} UTC.\n",
        to=[invitation.email],
    )
    try:
        mail.send()
    except (smtplib.SMTPException, OSError) as error:
        raise PeopleError(f"The mail server did not take it ({type(error).__name__}): hand the link over.") from error


@transaction.atomic
def accept(invitation: Invitation, user: User) -> None:
    """Give the place; a higher role that the person has already stays. Raises PeopleError where it was just used."""
    # By a condition: of two who hold the link, one gets in.
    taken = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
        accepted_at=timezone.now(), accepted_by=user
    )
    if not taken:
        raise PeopleError("The invitation is not open any more: ask for another.")
    role = Role(invitation.role)
    current = role_at(user, invitation.place)
    if current is None or current.rank < role.rank:
        set_role(invitation.place, user, role)


def join(invitation: Invitation, username: str, password: str) -> User:
    """Make a person who accepts an invitation. Raises PeopleError where the name is taken.

    Without the invitation's address: whoever wrote it there could set the password anew of whoever got the link.
    """
    with transaction.atomic():
        with _of_a_free_name(username, "That name is taken: choose another, or sign in first if it is yours."):
            user = User.objects.create_user(username, password=password)
        accept(invitation, user)
    return user


@transaction.atomic
def set_role(place: Place, user: User, role: Role | None) -> None:
    """Give a role, or take it with None. Raises PeopleError for an organisation's last owner."""
    if isinstance(place, Project):
        if role is None:
            for row in ProjectMembership.objects.filter(project=place, user=user):
                row.delete()
            return
        ProjectMembership.objects.update_or_create(project=place, user=user, defaults={"role": role})
        return
    owners = Membership.objects.select_for_update().filter(organization=place, role=Role.OWNER)
    if role != Role.OWNER and [row.user_id for row in owners] == [user.pk]:
        raise PeopleError("An organisation needs an owner: make somebody else one first.")
    if role is None:
        for membership in Membership.objects.filter(organization=place, user=user):
            membership.delete()
        return
    Membership.objects.update_or_create(organization=place, user=user, defaults={"role": role})


@transaction.atomic
def create_service_account(place: Place, name: str, role: Role) -> User:
    """Make somebody who acts by keys alone. Raises PeopleError where the name is taken."""
    with _of_a_free_name(name, "That name is taken: choose another."):
        user = User.objects.create(username=name, password=make_password(None), is_service_account=True)
    set_role(place, user, role)
    return user


def create(organization: Organization, username: str, email: str, password: str, role: Role) -> User:
    """Make a person with a place. Raises PeopleError where the name is taken."""
    with transaction.atomic():
        with _of_a_free_name(username, f"There is a user {username!r} already."):
            user = User.objects.create_user(username, email, password)
        Membership.objects.create(organization=organization, user=user, role=role)
    return user


@contextmanager
def _of_a_free_name(name: str, taken: str) -> Iterator[None]:
    """Raise PeopleError where somebody has the name, in whatever case, or takes it at the same moment."""
    if User.objects.filter(username__iexact=name).exists():
        raise PeopleError(taken)
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise PeopleError(taken) from error
