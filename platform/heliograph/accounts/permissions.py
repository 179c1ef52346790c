"""Who may do what where: roles of the database looked up in the table of accounts/roles.py, and nowhere else.

A person's role in a project is the higher of the organisation's and the project's own (ADR 0052).
"""

from collections.abc import Iterable

from django.db import models

from heliograph.accounts.models import ApiKey, Membership, Organization, Project, ProjectMembership, User
from heliograph.accounts.roles import OF_ROLE, OF_SCOPE, Capability, Role, Scope

NOTHING: frozenset[Capability] = frozenset()


def role_in(user: User, project: Project) -> Role | None:
    """Return a person's role in a project, None for a stranger and for somebody who is let in no more. One query."""
    if not user.is_active:
        return None
    of_organization = Membership.objects.filter(organization=project.organization_id, user=user).values_list("role")
    of_project = ProjectMembership.objects.filter(project=project, user=user).values_list("role")
    return _highest(role for (role,) in of_organization.union(of_project, all=True))


def role_of(user: User, organization: Organization) -> Role | None:
    """Return a person's role in an organisation as a whole."""
    if not user.is_active:
        return None
    found = Membership.objects.filter(organization=organization, user=user).values_list("role", flat=True)
    return _highest(found)


def role_at(user: User, place: Organization | Project) -> Role | None:
    """Return a person's role in a project, or in an organisation as a whole."""
    return role_in(user, place) if isinstance(place, Project) else role_of(user, place)


def capabilities_of(user: User, project: Project) -> frozenset[Capability]:
    """Return what a person may do in a project."""
    role = role_in(user, project)
    return OF_ROLE[role] if role else NOTHING


def capabilities_of_key(key: ApiKey) -> frozenset[Capability]:
    """Return what a key may do in its project; of a service account's key, what the account may do as well."""
    allowed = frozenset[Capability]().union(*(OF_SCOPE[Scope(scope)] for scope in key.scopes))
    return allowed & capabilities_of(key.service_account, key.project) if key.service_account else allowed


def may(user: User, project: Project, capability: Capability) -> bool:
    """Whether a person may do something in a project."""
    return capability in capabilities_of(user, project)


def people_who_may(project: Project, capability: Capability) -> models.QuerySet[User]:
    """Return who may do something in a project, by the organisation's roles and the project's own."""
    roles = [role for role, allowed in OF_ROLE.items() if capability in allowed]
    everywhere = Membership.objects.filter(organization=project.organization_id, role__in=roles).values("user")
    here = ProjectMembership.objects.filter(project=project, role__in=roles).values("user")
    return User.objects.filter(models.Q(pk__in=everywhere) | models.Q(pk__in=here), is_active=True)


def may_in(user: User, organization: Organization, capability: Capability) -> bool:
    """Whether a person may do something in an organisation as a whole."""
    role = role_of(user, organization)
    return role is not None and capability in OF_ROLE[role]


def _highest(roles: Iterable[str]) -> Role | None:
    return max((Role(role) for role in roles), key=lambda role: role.rank, default=None)
