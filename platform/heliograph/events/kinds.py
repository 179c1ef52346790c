"""What can happen. A kind is also the `type` of the webhook that tells of it."""

from enum import StrEnum


class Kind(StrEnum):
    """The kinds of events, each with a sentence for people in `TITLES`."""

    SCORE_BELOW_BOUND = "score.below_bound"
    GATE_FAILED = "gate.failed"
    DRIFT_FOUND = "drift.found"
    ANNOTATION_DONE = "annotation.done"
    EXPORT_READY = "export.ready"
    EXPERIMENT_DONE = "experiment.done"
    SCHEDULE_FAILED = "schedule.failed"
    DISK_FILLING = "disk.filling"


TITLES = {
    Kind.SCORE_BELOW_BOUND: "A score came below its bound",
    Kind.GATE_FAILED: "A regression gate failed",
    Kind.DRIFT_FOUND: "Drift was found",
    Kind.ANNOTATION_DONE: "An annotation queue was finished",
    Kind.EXPORT_READY: "An export is ready",
    Kind.EXPERIMENT_DONE: "An experiment ended",
    Kind.SCHEDULE_FAILED: "A scheduled job failed",
    Kind.DISK_FILLING: "The store's disk is filling",
}
