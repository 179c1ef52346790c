"""Calibrations of evaluators by labels of people."""

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import CONFIGURING, EDITING
from heliograph.annotation import calibrating
from heliograph.annotation.calibrating import NotComparableError, Plan
from heliograph.annotation.models import Calibration
from heliograph.api.annotation import Conflict, the_queue
from heliograph.api.annotation_shapes import ApplyIn, CalibrationIn, CalibrationOut, CalibrationPage
from heliograph.api.datasets import given_in, person
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.row_pages import RowParameters, row_page


class CalibrationsView(APIView):
    """Calibrations by a queue."""

    needs = EDITING

    @extend_schema(
        operation_id="list_calibrations", parameters=[RowParameters], responses=answers(CalibrationPage, 404)
    )
    def get(self, request: Request, queue_id: int) -> Response:
        """List calibrations, newest first."""
        rows = the_queue(request, queue_id).calibrations.select_related("created_by", "applied_by")
        return Response(CalibrationPage(row_page(rows, read(RowParameters, request).validated_data)).data)

    @extend_schema(
        operation_id="calibrate", request=CalibrationIn, responses=answers(CalibrationOut, 403, 404, good=201)
    )
    def post(self, request: Request, queue_id: int) -> Response:
        """Compare an evaluator's scores with what most annotators said of each answer; nothing is set by it."""
        given = given_in(CalibrationIn, request)
        plan = Plan(**given | {"positive": tuple(given["positive"])})
        try:
            made = calibrating.calibrate(the_queue(request, queue_id), plan, person(request))
        except NotComparableError as error:
            raise ValidationError({"dimension": [str(error)]}) from error
        return Response(CalibrationOut(made).data, status=201)


class _CalibrationView(APIView):
    needs = CONFIGURING

    def calibration(self, request: Request, calibration_id: int) -> Calibration:
        """Return a calibration of the project."""
        return get_object_or_404(Calibration, project=project_of(request), pk=calibration_id)


class ApplyView(_CalibrationView):
    """Setting a rule by a calibration."""

    @extend_schema(operation_id="apply_calibration", request=ApplyIn, responses=answers(CalibrationOut, 403, 404, 409))
    def post(self, request: Request, calibration_id: int) -> Response:
        """Put the threshold, the curve or both into the evaluator's rule, for what is judged from now on."""
        calibration = self.calibration(request, calibration_id)
        try:
            calibrating.apply(calibration, person(request), **given_in(ApplyIn, request))
        except NotComparableError as error:
            raise Conflict(str(error)) from error
        return Response(CalibrationOut(calibration).data)


class RevertView(_CalibrationView):
    """Taking it back."""

    @extend_schema(operation_id="revert_calibration", request=None, responses=answers(CalibrationOut, 403, 404, 409))
    def post(self, request: Request, calibration_id: int) -> Response:
        """Put back what stood in the rule before."""
        calibration = self.calibration(request, calibration_id)
        try:
            calibrating.revert(calibration)
        except NotComparableError as error:
            raise Conflict(str(error)) from error
        return Response(CalibrationOut(calibration).data)
