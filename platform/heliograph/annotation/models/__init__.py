"""Queues with their items and slots, what annotators said, and calibrations of evaluators from it."""

from heliograph.annotation.models.annotations import Annotation, Skip
from heliograph.annotation.models.calibrations import Calibration
from heliograph.annotation.models.queues import Item, Queue, Slot

__all__ = ["Annotation", "Calibration", "Item", "Queue", "Skip", "Slot"]
