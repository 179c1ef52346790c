"""What Celery runs. What is to be done stands in the databases, so a lost message costs a delay and no more."""

import logging
import time

from celery import shared_task
from django.db.models import Q

from heliograph.accounts.models import Project
from heliograph.clickhouse.errors import StoreError
from heliograph.rules.models import SamplingRule, TailSampler
from heliograph.tail.sampler import work_on

logger = logging.getLogger(__name__)

# The worker also judges new answers, whose verdict is wanted within a minute or so.
SECONDS = 20.0


@shared_task
def decide_traces() -> None:
    """Decide the settled traces of every project that has rules for whole traces, or a removal under way."""
    deadline = time.monotonic() + SECONDS
    of_rules = SamplingRule.objects.filter(stage=SamplingRule.Stage.TAIL, enabled=True).values("project")
    for project in Project.objects.filter(Q(pk__in=of_rules) | Q(pk__in=TailSampler.objects.values("project"))):
        try:
            work_on(project, deadline)
        except StoreError as error:
            logger.warning("sampling of %s waits for the store", project.slug, exc_info=True)
            TailSampler.objects.filter(project=project).update(error=error.user_text)
        except (
            Exception
        ) as error:  # a fault in one project's data must not stop the others; its place stays where it was
            logger.exception("sampling of %s failed", project.slug)
            TailSampler.objects.filter(project=project).update(error=f"{type(error).__name__}: {error}")
        else:
            TailSampler.objects.filter(project=project).exclude(error="").update(error="")
