"""The LLM judge of a project: its endpoint through the guarded client, its key, its template, its memory."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from evaluators.judges.chat_client import MAX_BODY_BYTES, ChatClient, Reply
from evaluators.judges.completion import Completion
from evaluators.judges.errors import RefusedError, RetryableError
from heliograph.accounts.secrets import SecretLostError, decrypt
from heliograph.evals.models import JudgeAnswer, JudgeEndpoint, JudgeTemplate
from heliograph.net import outgoing

# The same answer is asked for again when a rule is run over a period, or a batch after a crash.
KEPT = timedelta(days=30)
# About 100 MB of verdicts.
MOST_OF_A_PROJECT = 200_000
# A judge's answer is a verdict; a longer one is not worth keeping.
MAX_KEPT_CHARACTERS = 20_000
TRIES = 3


def settings_of(project_id: int, endpoint: JudgeEndpoint | None, chosen: JudgeTemplate | None) -> dict[str, Any]:
    """Return what `llm_judge` is given beside the arguments of a rule or an experiment.

    Raises ValueError where there is no endpoint, or its key cannot be read.
    """
    given = dict[str, Any]()
    if endpoint is None:
        raise ValueError("There is no judge: choose one, or add it under judges.")
    if chosen is not None:
        template = chosen.template
        given = {
            "mode": template.mode,
            "instruction": template.instruction,
            "scale": [template.lowest, template.highest],
        }
    prices = (endpoint.input_usd_per_million, endpoint.output_usd_per_million)
    given |= {
        "model": endpoint.model,
        "input_usd_per_million": None if prices[0] is None else float(prices[0]),
        "output_usd_per_million": None if prices[1] is None else float(prices[1]),
        "workers": endpoint.concurrency,
        "cache": StoredAnswers(project_id),
        "raises_when_away": True,
        "device": None if settings.EVALUATOR_DEVICE == "auto" else settings.EVALUATOR_DEVICE,
    }
    if endpoint.base_url:
        try:
            key = decrypt(endpoint.api_key) if endpoint.api_key else None
        except SecretLostError as error:
            raise ValueError(str(error)) from error
        given["client"] = ChatClient(
            endpoint.base_url, endpoint.model, key, endpoint.timeout_seconds, TRIES, send=send_guarded
        )
    return given


def send_guarded(url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Reply:
    """Send to a public address, or to a network that the installation allows. Raises RetryableError, RefusedError."""
    try:
        answer = outgoing.send("POST", url, headers=headers, body=body, seconds=seconds, most_bytes=MAX_BODY_BYTES + 1)
    except outgoing.InvalidAddressError as error:
        # The same for every sample: the judge is away until somebody changes its address or the settings.
        raise RefusedError(str(error), 403) from error
    except outgoing.UnreachableError as error:
        raise RetryableError(str(error)) from error
    return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)


class StoredAnswers:
    """The answers of a project's judges in Django's database; asked from the judge's threads."""

    def __init__(self, project_id: int) -> None:
        self._project_id = project_id

    def get(self, key: str) -> Completion | None:
        """Return the answer to a question that was asked before."""
        try:
            row = JudgeAnswer.objects.filter(project=self._project_id, key=key).first()
        finally:
            _done()
        return Completion(row.text, row.input_tokens, row.output_tokens) if row else None

    def put(self, key: str, answer: Completion) -> None:
        """Keep an answer."""
        if len(answer.text) > MAX_KEPT_CHARACTERS:
            return
        row = {"text": answer.text, "input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
        try:
            JudgeAnswer.objects.update_or_create(project_id=self._project_id, key=key, defaults=row)
        finally:
            _done()


def _done() -> None:
    # A judge's threads end with the batch, and their connections must end with them.
    if connection.in_atomic_block:
        return
    close_old_connections()
    connection.close()


def remove_old_answers() -> int:
    """Remove answers beyond KEPT, and of each project those beyond the newest MOST_OF_A_PROJECT."""
    removed, _ = JudgeAnswer.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    for project_id in JudgeAnswer.objects.order_by().values_list("project", flat=True).distinct():
        rows = JudgeAnswer.objects.filter(project=project_id).order_by("-created_at")
        for moment in rows.values_list("created_at", flat=True)[MOST_OF_A_PROJECT : MOST_OF_A_PROJECT + 1]:
            removed += rows.filter(created_at__lte=moment).delete()[0]
    return removed
