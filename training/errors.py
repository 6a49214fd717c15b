"""The error of the package."""


class TrainingError(Exception):
    """What stops the training: data, model or detector that cannot be used."""
