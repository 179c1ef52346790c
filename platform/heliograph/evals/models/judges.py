"""Models that judge for a project: where they are, what they are asked, and what they answered."""

from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction

from evaluators.judges.templates import MAX_INSTRUCTION_CHARS, Mode, Template
from heliograph.accounts.models import Project
from heliograph.accounts.secrets import SecretField
from heliograph.net.outgoing import InvalidAddressError, check_address

# A person chooses one from a list.
MAX_ENDPOINTS = 50
MAX_TEMPLATES = 200


class JudgeEndpoint(models.Model):
    """A chat model: behind an OpenAI-compatible endpoint, or one of transformers in the worker (without an address)."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="judge_endpoints")
    name = models.CharField(max_length=100)
    base_url = models.CharField(
        max_length=500, blank=True, default="", help_text="Ends before /chat/completions. Empty: a local model."
    )
    model = models.CharField(max_length=300)
    api_key = SecretField(default="", blank=True)
    input_usd_per_million = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(Decimal(0))]
    )
    output_usd_per_million = models.DecimalField(
        max_digits=12, decimal_places=6, null=True, blank=True, validators=[MinValueValidator(Decimal(0))]
    )
    timeout_seconds = models.FloatField(default=60.0, validators=[MinValueValidator(1.0), MaxValueValidator(300.0)])
    concurrency = models.PositiveSmallIntegerField(default=4, validators=[MinValueValidator(1), MaxValueValidator(64)])
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_judge_endpoint_of_a_name")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse an address that nothing is sent to; where it leads is judged at each connection."""
        others = type(self).objects.filter(project=self.project_id).exclude(pk=self.pk)
        if others.count() >= MAX_ENDPOINTS:
            raise ValidationError(f"A project has at most {MAX_ENDPOINTS} judges.")
        if others.filter(name=self.name).exists():
            raise ValidationError({"name": "Another judge has this name."})
        if self.base_url:
            try:
                check_address(self.base_url)
            except InvalidAddressError as error:
                raise ValidationError({"base_url": str(error)}) from error


class JudgeTemplate(models.Model):
    """One version of what a judge is asked; a change is a new version, and a score says which one it is from."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="judge_templates")
    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField(default=1)
    mode = models.CharField(max_length=10, choices=[("rubric", "rubric"), ("pairwise", "pairwise")], default="rubric")
    instruction = models.TextField(max_length=MAX_INSTRUCTION_CHARS)
    lowest = models.SmallIntegerField(default=1)
    highest = models.SmallIntegerField(default=5)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="one_judge_template_a_version")
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def clean(self) -> None:
        """Refuse what is no template, and take the next version of its name."""
        if self.pk is None:
            self.version = self._next()
        if type(self).objects.filter(project=self.project_id).count() >= MAX_TEMPLATES:
            raise ValidationError(f"A project has at most {MAX_TEMPLATES} versions of templates.")
        try:
            _ = self.template
        except ValueError as error:
            raise ValidationError({"instruction": str(error)}) from error

    @property
    def template(self) -> Template:
        """What the evaluator is given. Raises ValueError."""
        mode: Mode = "pairwise" if self.mode == "pairwise" else "rubric"
        return Template(self.instruction, mode, self.lowest, self.highest)

    @property
    def revision(self) -> str:
        """The hash of what the judge is told."""
        return self.template.revision

    def append(self) -> None:
        """Save as the next version of its name. Raises IntegrityError where another was faster."""
        with transaction.atomic():
            self.version = self._next()
            self.save(force_insert=True)

    def _next(self) -> int:
        same = type(self).objects.filter(project=self.project_id, name=self.name)
        last: int | None = same.aggregate(last=models.Max("version"))["last"]
        return (last or 0) + 1


class JudgeAnswer(models.Model):
    """A judge's answer under the hash of all that it was asked, so that nothing is paid for twice."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    key = models.CharField(max_length=64)
    text = models.TextField()
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="one_answer_to_a_question")]
        indexes = [models.Index(fields=["project", "created_at"], name="judge_answers_by_age")]

    def __str__(self) -> str:
        return self.key
