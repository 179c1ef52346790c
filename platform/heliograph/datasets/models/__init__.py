"""The tables of this room."""

from heliograph.datasets.models.endpoints import Endpoint
from heliograph.datasets.models.experiments import Comparison, Experiment, Result
from heliograph.datasets.models.rows import Content, Dataset, DatasetVersion, Row

__all__ = ["Comparison", "Content", "Dataset", "DatasetVersion", "Endpoint", "Experiment", "Result", "Row"]
