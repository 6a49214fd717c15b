"""The nucleus's errors. Every message is one sentence: what cannot be done, where, what next."""

from __future__ import annotations


class NucleusError(Exception):
    """Base of all errors that the nucleus raises on purpose."""


class SettingsError(NucleusError):
    """The nucleus's configuration file cannot be used."""


class StoreError(NucleusError):
    """The nucleus's own database or component store cannot be used."""
