"""Who belongs to a project and to its organisation: roles, invitations, service accounts, new projects."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from heliograph.accounts import people
from heliograph.accounts.factors import with_second_factor
from heliograph.accounts.models import Invitation, Membership, Project, ProjectMembership
from heliograph.accounts.people import PeopleError, Place
from heliograph.accounts.permissions import may_in, role_at, role_in, role_of
from heliograph.accounts.roles import MEANING, OF_ROLE, Capability, Role, may_give
from heliograph.dashboards.access import page_for, project_page, reader_of

people_page = page_for(Capability.PEOPLE)
# A page shows them all; an organisation of more signs in by groups (docs/people.md).
MAX_SHOWN = 500
WHERE = (("project", "This project"), ("organization", "The whole organisation"))


class PlaceForm(forms.Form):
    """A role, and of what."""

    where = forms.ChoiceField(choices=WHERE)
    role = forms.ChoiceField(choices=Role.choices)


class InvitationForm(PlaceForm):
    """Who is invited; without an address the link is shown to be handed over."""

    email = forms.EmailField(max_length=254, required=False)


class ServiceAccountForm(PlaceForm):
    """A service account."""

    name = forms.CharField(max_length=150, validators=[UnicodeUsernameValidator()])


class NewProjectForm(forms.Form):
    """A project's name."""

    name = forms.CharField(max_length=200)


@require_safe
@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the page."""
    return _page(request, project)


@require_POST
@people_page
def invite(request: HttpRequest, project: Project) -> HttpResponse:
    """Invite somebody, by mail or by a link that is shown."""
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _page(request, project, invitation_form=form, status=422)
    place, role = _place(project, form.cleaned_data["where"]), Role(form.cleaned_data["role"])
    if not _may(request, place, role):
        return _page(request, project, fault=_beyond(role), status=403)
    try:
        invitation = people.invite(place, role, reader_of(request), form.cleaned_data["email"])
    except PeopleError as error:
        return _page(request, project, fault=str(error), status=422)
    fault = ""
    if invitation.email:
        try:
            people.send(invitation)
            messages.success(request, f"The invitation is on its way to {invitation.email}.")
            return redirect("settings-people", project.slug)
        except PeopleError as error:
            fault = str(error)
    return _page(request, project, link=people.link_of(invitation), fault=fault)


@require_POST
@people_page
def take_back(request: HttpRequest, project: Project, invitation_id: int) -> HttpResponse:
    """Take an invitation back."""
    invitation = get_object_or_404(_invitations(request, project), pk=invitation_id)
    if not _may(request, invitation.place, Role(invitation.role)):
        return _page(request, project, fault=_beyond(Role(invitation.role)), status=403)
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])
    messages.success(request, "The invitation is taken back.")
    return redirect("settings-people", project.slug)


@require_POST
@people_page
def change_role(request: HttpRequest, project: Project, user_id: int) -> HttpResponse:
    """Give a member another role, or with the role '' none."""
    place = _place(project, request.POST.get("where", ""))
    row = _rows(place).filter(user=user_id).select_related("user").first()
    wanted = request.POST.get("role", "")
    if row is None or (wanted and wanted not in Role.values):
        raise Http404
    role = Role(wanted) if wanted else None
    for each in filter(None, (Role(row.role), role)):
        if not _may(request, place, each):
            return _page(request, project, fault=_beyond(each), status=403)
    try:
        people.set_role(place, row.user, role)
    except PeopleError as error:
        return _page(request, project, fault=str(error), status=422)
    messages.success(request, f"{row.user} is {f'now {role.value}' if role else 'no longer a member'} of {place}.")
    return redirect("settings-people", project.slug)


@require_POST
@people_page
def create_service_account(request: HttpRequest, project: Project) -> HttpResponse:
    """Make a service account."""
    form = ServiceAccountForm(request.POST)
    if not form.is_valid():
        return _page(request, project, service_form=form, status=422)
    place, role = _place(project, form.cleaned_data["where"]), Role(form.cleaned_data["role"])
    if not _may(request, place, role):
        return _page(request, project, fault=_beyond(role), status=403)
    try:
        user = people.create_service_account(place, form.cleaned_data["name"], role)
    except PeopleError as error:
        form.add_error("name", str(error))
        return _page(request, project, service_form=form, status=422)
    messages.success(request, f"{user} is made: give it a key under General.")
    return redirect("settings-people", project.slug)


@require_POST
@people_page
def create_project(request: HttpRequest, project: Project) -> HttpResponse:
    """Make another project in the organisation, by who may let people into all of it."""
    form = NewProjectForm(request.POST)
    if not form.is_valid():
        return _page(request, project, project_form=form, status=422)
    if not _may(request, project.organization, Role.VIEWER):
        return _page(request, project, fault="Ask an admin of the organisation for another project.", status=403)
    made = Project.create(project.organization, form.cleaned_data["name"])
    messages.success(request, f"{made} is made.")
    return redirect("settings", made.slug)


@require_POST
@people_page
def require_factor(request: HttpRequest, project: Project) -> HttpResponse:
    """Say whether everybody of the organisation needs a second factor; for its owners."""
    organization = project.organization
    if role_of(reader_of(request), organization) != Role.OWNER:
        return _page(
            request, project, fault="Only an owner of the organisation says who needs a second factor.", status=403
        )
    organization.requires_second_factor = request.POST.get("required") == "yes"
    organization.save(update_fields=["requires_second_factor"])
    required = "required" if organization.requires_second_factor else "not required any more"
    messages.success(request, f"A second factor is {required} in {organization}.")
    return redirect("settings-people", project.slug)


def _place(project: Project, where: str) -> Place:
    return project.organization if where == "organization" else project


def _rows(place: Place) -> Any:
    if isinstance(place, Project):
        return ProjectMembership.objects.filter(project=place)
    return Membership.objects.filter(organization=place)


def _may(request: HttpRequest, place: Place, role: Role) -> bool:
    own = role_at(reader_of(request), place)
    return own is not None and may_give(own, role)


def _beyond(role: Role) -> str:
    return f"You cannot give or take the role {role.value} there: that takes an admin, and for owners an owner."


def _invitations(request: HttpRequest, project: Project) -> Any:
    """Open invitations to the project, and to the organisation for who lets people into all of it."""
    found = Invitation.objects.filter(organization=project.organization_id, accepted_at=None, revoked_at=None)
    found = found.filter(expires_at__gt=timezone.now())
    if may_in(reader_of(request), project.organization, Capability.PEOPLE):
        return found.filter(Q(project=project) | Q(project=None))
    return found.filter(project=project)


def _page(request: HttpRequest, project: Project, *, status: int = 200, **extra: Any) -> HttpResponse:
    reader = reader_of(request)
    own = role_in(reader, project)
    may_people = own is not None and Capability.PEOPLE in OF_ROLE[own]
    # A guest of one project learns who else has a place in it, and not who belongs to the organisation.
    is_guest = role_of(reader, project.organization) is None
    places: list[tuple[Place, str]] = [(project, "project")]
    if not is_guest:
        places.append((project.organization, "organization"))
    may_organization = may_in(reader, project.organization, Capability.PEOPLE)
    shown = [
        (place, where, list(_rows(place).select_related("user").order_by("user__username")[:MAX_SHOWN]))
        for place, where in places
    ]
    context = {
        "project": project,
        "places": [
            {
                "place": place,
                "where": where,
                "rows": rows,
                "may_give": [role for role in Role if may_people and _may(request, place, role)],
            }
            for place, where, rows in shown
        ],
        "owns_organization": role_of(reader, project.organization) == Role.OWNER,
        "with_factor": with_second_factor([row.user_id for _, _, rows in shown for row in rows])
        if may_people
        else set(),
        "roles": [
            (role, [MEANING[capability] for capability in Capability if capability in OF_ROLE[role]]) for role in Role
        ],
        "invitations": _invitations(request, project).select_related("project", "organization", "invited_by")
        if may_people
        else [],
        "may_people": may_people,
        "is_guest": is_guest,
        "may_organization": may_organization,
        "where_choices": WHERE if may_organization else WHERE[:1],
        "you": reader,
        "invitation_form": InvitationForm(),
        "service_form": ServiceAccountForm(),
        "project_form": NewProjectForm(),
    } | extra
    return render(request, "dashboards/people.html", context, status=status)
