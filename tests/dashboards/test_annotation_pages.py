"""The pages of annotation by role; what queues do is tried in tests/annotation, their keys in tests/journeys."""

import pytest
from django.urls import reverse

from heliograph.accounts.models import Membership, Project
from heliograph.annotation.models import Queue
from tests.annotation.conftest import filled, stored
from tests.dashboards.conftest import Signed

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def queue(project: Project) -> Queue:
    queue = Queue.objects.create(project=project, name="refunds", rubric=[{"name": "correct", "kind": "boolean"}])
    filled(queue, stored(project, 1))
    return queue


def test_an_annotator_judges_and_changes_no_queue(queue: Queue, project: Project, signed_in: Signed) -> None:
    annotator = signed_in(Membership.Role.ANNOTATOR)
    begin = reverse("annotation-next", args=[project.slug, queue.pk])
    shown = annotator.get(reverse("annotation-queue", args=[project.slug, queue.pk])).content.decode()
    assert f'action="{begin}"' in shown
    assert reverse("annotation-fill", args=[project.slug, queue.pk]) not in shown
    work = annotator.post(begin, follow=True)
    slot = work.context["slot"]
    assert 'name="score.correct"' in work.content.decode()
    annotator.post(reverse("annotation-save", args=[project.slug, queue.pk, slot.pk]), {"score.correct": "yes"})
    assert [each.values for each in slot.annotations.all()] == [{"correct": True}]


def test_a_viewer_is_told_what_judging_takes(queue: Queue, project: Project, signed_in: Signed) -> None:
    viewer = signed_in(Membership.Role.VIEWER)
    shown = viewer.get(reverse("annotation-queue", args=[project.slug, queue.pk])).content.decode()
    assert reverse("annotation-next", args=[project.slug, queue.pk]) not in shown
    work = viewer.get(reverse("annotation-work", args=[project.slug, queue.pk])).content.decode()
    assert "takes the role annotator or a higher one" in work


def test_all_that_a_filter_of_the_list_finds_goes_into_a_queue(
    queue: Queue, project: Project, signed_in: Signed
) -> None:
    stored(project, 3, service="checkout")
    editor = signed_in(Membership.Role.EDITOR)
    window = "range=24h"
    shown = editor.get(f"{reverse('traces', args=[project.slug])}?{window}").content.decode()
    assert "Annotate all that match" in shown
    address = f"{reverse('annotation-add', args=[project.slug])}?{window}"
    said = editor.post(address, {"queue": queue.pk, "filter": "service:checkout"}, follow=True)
    assert "3 answers added to refunds" in said.content.decode()
    assert queue.items.count() == 4
    wrong = editor.post(address, {"queue": queue.pk, "filter": "latency>soon"}, follow=True)
    assert "Nothing was added" in wrong.content.decode()
    none = editor.post(address, {"queue": queue.pk}, follow=True)
    assert "Nothing new for refunds" in none.content.decode()
    assert queue.items.count() == 4


def test_an_editor_assigns_answers_sees_them_by_person_and_takes_them_back(
    queue: Queue, project: Project, signed_in: Signed
) -> None:
    filled(queue, stored(project, 3))
    editor = signed_in(Membership.Role.EDITOR)
    annotator = signed_in(Membership.Role.ANNOTATOR)
    name = "user-1"
    page = reverse("annotation-queue", args=[project.slug, queue.pk])
    assign, unassign = (reverse(f"annotation-{what}", args=[project.slug, queue.pk]) for what in ("assign", "unassign"))
    shown = editor.get(page).content.decode()
    assert f'value="{name}"' in shown
    assert assign not in annotator.get(page).content.decode()
    last = queue.items.latest("pk")
    told = editor.post(assign, {"person": name, "item": last.pk, "ticked": "1"}, follow=True).content.decode()
    assert f"Assigned: 1 to {name}." in told
    assert f"for {name}" in told
    listed = annotator.get(reverse("annotation", args=[project.slug])).context["page"].object_list
    assert [each.yours for each in listed] == [1]
    ready = annotator.get(reverse("annotation-work", args=[project.slug, queue.pk])).content.decode()
    assert " answer is assigned to you and comes first." in ready
    assert [item for item, _ in editor.get(f"{page}?for={name}").context["items"]] == [last]
    assert len(editor.get(f"{page}?for=nobody+yet").context["items"]) == 3
    told = editor.post(f"{assign}?for={name}", {"person": name, "share": "67"}, follow=True)
    assert (f"3 to {name}" in told.content.decode(), told.context["whose"]) == (True, name)
    assert (
        "Nothing was assigned: these answers are"
        in editor.post(
            assign, {"person": name, "share": "100", "item": last.pk, "ticked": "1"}, follow=True
        ).content.decode()
    )
    for wrong, said in (
        ({"share": "50"}, "Say to whom"),
        ({"person": name, "share": "half"}, "1 to 100 percent"),
        ({"person": name, "ticked": "1"}, "Choose 1 to 1,000"),
    ):
        assert said in editor.post(assign, wrong, follow=True).content.decode()
    back = editor.post(unassign, {"item": last.pk}, follow=True).content.decode()
    assert "1 judgement may be given by anybody again" in back
    assert "3 judgements may be given" in editor.post(unassign, {"of": name}, follow=True).content.decode()
    assert "Nothing was taken back" in editor.post(unassign, {}, follow=True).content.decode()
    assert not queue.slots.exclude(assignee=None).exists()
    assert annotator.post(assign, {"person": name, "share": "50"}).status_code == 403
    assert annotator.post(unassign, {"of": name}).status_code == 403
