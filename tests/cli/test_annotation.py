"""Annotation queues from the terminal."""

from heliograph.accounts.models import Membership, Project, User
from heliograph.annotation import rubric
from heliograph.annotation.models import Queue
from tests.annotation.conftest import RUBRIC, stored
from tests.cli.conftest import Cli
from tests.query.rows import START


def test_the_terminal_lists_fills_and_reads_queues(cli: Cli, project: Project) -> None:
    Queue.objects.create(project=project, name="q", rubric=rubric.as_json(rubric.read_text(RUBRIC)))
    rows = stored(project, 2)
    assert cli.json("annotation", "list")[0]["name"] == "q"
    assert "1 added, 0 were in it already" in cli("annotation", "add", "q", rows[0]["trace_id"]).output
    filled = cli("annotation", "add", "q", "--filter", "", "--since", START.isoformat())
    assert "1 added, 1 were in it already" in filled.output
    assert cli.json("annotation", "annotations", "q") == []
    assert [each["name"] for each in cli.json("annotation", "agreement", "q")] == ["correct", "helpfulness", "tone"]
    user = User.objects.create(username="ann")
    Membership.objects.create(organization=project.organization, user=user, role=Membership.Role.ANNOTATOR)
    assert cli.json("annotation", "assign", "q", "--to", "ann", "--share", "50") == [{"name": "ann", "count": 1}]
    assert "1 may be judged by anybody again" in cli("annotation", "unassign", "q", "--from", "ann").output
    assert "may not judge" in cli("annotation", "assign", "q", "--to", "eve", code=3).output
    assert "no queue" in cli("annotation", "add", "other", rows[0]["trace_id"], code=2).output
    assert "give --filter" in cli("annotation", "add", "q", code=2).output
