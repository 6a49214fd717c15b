"""The errors of the local cloud: one sentence each, what cannot be done, where, what next."""

from __future__ import annotations


class CloudError(Exception):
    """Base of all errors that the local cloud raises on purpose."""


class SettingsError(CloudError):
    """The settings it was started with cannot be used."""


class StateError(CloudError):
    """Its state directory cannot be read or written."""


class NotFoundError(CloudError):
    """A thing, an object, a job or the like that somebody named does not exist."""


class BrokerError(CloudError):
    """mosquitto is missing, does not start or does not answer."""
