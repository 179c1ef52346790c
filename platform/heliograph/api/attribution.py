"""What requests cost of the GPUs, the prices and weights behind it, and where a trace's calls ran."""

from decimal import Decimal
from typing import Any, get_args

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import CONFIGURING, READING
from heliograph.accounts.models import AttributionPolicy, GpuPrice, Project
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import serializer_of
from heliograph.query import attribution, attribution_totals, diagnosis, engines
from heliograph.query.agent_clocks import agent_clocks
from heliograph.query.attribution import Attribution, Cost, Dimension, SpanCost
from heliograph.query.diagnosis import Diagnosis
from heliograph.query.placing import Placement
from heliograph.query.prices import gpu_prices, weights_of
from heliograph.query.serving import EngineInstance
from heliograph.query.sharing import POLICIES, policy_name
from heliograph.query.timing import Split
from heliograph.query.traces import summaries
from heliograph.query.verdicts import Verdict


class AttributionParameters(RangeParameters):
    """By what, and how many groups."""

    group_by = serializers.ChoiceField(choices=get_args(Dimension), default="user")
    limit = serializers.IntegerField(min_value=1, max_value=attribution.MAX_GROUPS, default=100)


class GpuPriceRow(serializers.ModelSerializer[GpuPrice]):
    """A price, from a moment on. `gpu_name` '' holds for every model without a price of its own."""

    usd_per_gpu_hour = serializers.DecimalField(min_value=0, max_digits=12, decimal_places=6)
    usd_per_kwh = serializers.DecimalField(
        min_value=0, max_digits=12, decimal_places=6, required=False, allow_null=True, help_text="Null: in the hour."
    )
    pue = serializers.DecimalField(min_value=1, max_value=5, max_digits=5, decimal_places=3, default=Decimal(1))

    class Meta:
        model = GpuPrice
        fields = ("id", "gpu_name", "valid_from", "usd_per_gpu_hour", "usd_per_kwh", "pue")
        read_only_fields = ("id",)


class GpuPriceList(serializers.Serializer[Any]):
    """All prices of a project, the latest first."""

    items = GpuPriceRow(many=True)


class PolicyRow(serializers.ModelSerializer[AttributionPolicy]):
    """How much of a GPU a request is taken to use while its prompt is read and its answer written."""

    prefill = serializers.FloatField(min_value=AttributionPolicy.LEAST, max_value=AttributionPolicy.MOST)
    decode = serializers.FloatField(min_value=AttributionPolicy.LEAST, max_value=AttributionPolicy.MOST)
    name = serializers.CharField(read_only=True)

    class Meta:
        model = AttributionPolicy
        fields = ("name", "prefill", "decode", "per")


class PolicyOut(serializers.Serializer[Any]):
    """The policy in use, and those that have a name."""

    current = PolicyRow()
    named = PolicyRow(many=True)


class CallWhere(serializers.Serializer[Any]):
    """One model call: where it ran, where its time went, its verdict, and its estimated share of the GPUs."""

    span_id = serializers.CharField(source="call.span_id")
    name = serializers.CharField(source="call.name")
    model = serializers.CharField(source="call.model")
    model_requested = serializers.CharField(source="call.model_requested")
    placement = serializer_of(Placement)()
    split = serializer_of(Split)()
    verdict = serializer_of(Verdict)()
    share = serializer_of(SpanCost)(allow_null=True)


class EngineMatch(serializers.Serializer[Any]):
    """A serving engine whose metrics speak of the trace's calls, and how that is known."""

    instance = serializer_of(EngineInstance)(allow_null=True)
    reason = serializers.CharField()


class WhereOut(serializers.Serializer[Any]):
    """The trace's longest calls, those with the weightiest causes first; `unjudged` others are not among them."""

    calls = CallWhere(many=True)
    engines = EngineMatch(many=True)
    unjudged = serializers.IntegerField()
    clocks = serializers.ListField(
        child=serializers.CharField(), help_text="Hosts whose clock is over a second from the server's, in words."
    )
    share = serializer_of(Cost)(allow_null=True)
    policy = serializers.CharField(help_text="By which policy GPUs are shared out; every share is an estimate.")


def _answers(kind: Any, *statuses: int) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, *statuses, 422, 503)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


def _project(request: Request) -> Project:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    return request.auth


AttributionOut = serializer_of(Attribution)


class AttributionView(APIView):
    """The use of GPUs."""

    needs = READING

    @extend_schema(
        operation_id="get_attribution", parameters=[AttributionParameters], responses=_answers(AttributionOut)
    )
    def get(self, request: Request) -> Response:
        """Return joules, GPU-seconds and USD by a dimension; groups and idle add up to the energy counter."""
        given = read(AttributionParameters, request)
        project_id = _project(request).pk
        found = attribution.by_dimension(
            project_id,
            given.time_range(),
            given.validated_data["group_by"],
            gpu_prices(project_id),
            tenant_key=settings.TENANT_ATTRIBUTE,
            limit=given.validated_data["limit"],
        )
        return Response(AttributionOut(found).data)


class PolicyView(APIView):
    """The weights of sharing out."""

    needs = CONFIGURING

    @extend_schema(operation_id="get_attribution_policy", responses=_answers(PolicyOut))
    def get(self, request: Request) -> Response:
        """Return the weights in use and the named ones."""
        current = weights_of(_project(request).pk)
        return Response(
            PolicyOut(
                {
                    "current": _policy(policy_name(current), current),
                    "named": [_policy(name, weights) for name, weights in POLICIES.items()],
                }
            ).data
        )

    @extend_schema(operation_id="set_attribution_policy", request=PolicyRow, responses=_answers(PolicyOut, 403))
    def put(self, request: Request) -> Response:
        """Set the weights, for the minutes that are shared out from now on."""
        project = _project(request)
        row = AttributionPolicy.objects.filter(project=project).first()
        given = PolicyRow(row, data=request.data)
        given.is_valid(raise_exception=True)
        given.save(project=project)
        return self.get(request)


def _policy(name: str, weights: Any) -> dict[str, Any]:
    return {"name": name, "prefill": weights.prefill, "decode": weights.decode, "per": weights.per}


class GpuPricesView(APIView):
    """The prices of GPUs."""

    needs = CONFIGURING

    @extend_schema(operation_id="list_gpu_prices", responses=_answers(GpuPriceList))
    def get(self, request: Request) -> Response:
        """Return every price."""
        return Response(GpuPriceList({"items": _project(request).gpu_prices.all()[: GpuPrice.MOST]}).data)

    @extend_schema(
        operation_id="add_gpu_price",
        request=GpuPriceRow,
        responses={(201, "application/json"): OpenApiResponse(GpuPriceRow), **_answers(None, 403)},
    )
    def post(self, request: Request) -> Response:
        """Add a price; it holds from its time on, also for what was shared out already."""
        project = _project(request)
        given = GpuPriceRow(data=request.data)
        given.is_valid(raise_exception=True)
        same = {"gpu_name": given.validated_data.get("gpu_name", ""), "valid_from": given.validated_data["valid_from"]}
        if project.gpu_prices.filter(**same).exists():
            raise ValidationError({"valid_from": ["There is a price from this moment on already; delete it first."]})
        if project.gpu_prices.count() >= GpuPrice.MOST:
            raise ValidationError({"valid_from": [f"The project has {GpuPrice.MOST} prices; delete one first."]})
        given.save(project=project)
        return Response(given.data, status=201)


class GpuPriceView(APIView):
    """One price."""

    needs = CONFIGURING

    @extend_schema(operation_id="delete_gpu_price", responses={204: None, **_answers(None, 403, 404)})
    def delete(self, request: Request, price_id: int) -> Response:
        """Delete a price; what it held for falls to the one before it."""
        deleted, _ = _project(request).gpu_prices.filter(pk=price_id).delete()
        if not deleted:
            raise NotFound("The project has no such price.")
        return Response(status=204)


class WhereView(APIView):
    """Where a trace ran, and why it was slow."""

    needs = READING

    @extend_schema(operation_id="get_trace_where", responses=_answers(WhereOut, 404))
    def get(self, request: Request, trace_id: str) -> Response:
        """Return, of the trace's longest calls, the join to GPUs, the split of the time, the verdict and the share."""
        project_id = _project(request).pk
        found = diagnosis.of_trace(project_id, trace_id)
        if found is None:
            raise NotFound("The project has no such trace with a model call.")
        prices = gpu_prices(project_id)
        shares = attribution_totals.of_traces(project_id, list(summaries(project_id, [trace_id]).values()), prices)
        body = {
            "calls": [_call(project_id, each, prices) for each in found.calls],
            "engines": found.engines,
            "unjudged": found.unjudged,
            "clocks": _clocks(project_id, found),
            "share": shares.get(trace_id),
            "policy": policy_name(weights_of(project_id)),
        }
        return Response(WhereOut(body).data)


def _clocks(project_id: int, found: diagnosis.TraceDiagnosis) -> list[str]:
    hosts = sorted({gpu.host for each in found.placements.values() if each.is_proven for gpu in each.gpus if gpu.host})
    calls = [each.call for each in found.calls]
    span = engines.window(min(call.start_ns for call in calls), max(call.end_ns for call in calls))
    return [each.warning for each in agent_clocks(project_id, span, hosts=hosts) if each.warning] if hosts else []


def _call(project_id: int, found: Diagnosis, prices: Any) -> dict[str, Any]:
    call = found.call
    share = attribution.of_span(project_id, call.trace_id, call.span_id, call.start_ns, call.end_ns, prices)
    return {
        "call": call,
        "placement": found.placement,
        "split": found.split,
        "verdict": found.verdict,
        "share": share,
    }
