"""Data, training, grading, report: each folder's ``__init__.py`` offers its public names."""

__all__ = ["data", "grading", "report", "training"]
