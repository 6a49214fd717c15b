"""AWS services as moto knows them, kept through restarts, and what the other parts ask of them."""

from verge.cloud.aws import journal, sessions, snapshot
from verge.cloud.aws.backend import Backend
from verge.cloud.aws.events import Events
from verge.cloud.aws.sessions import Sessions
from verge.cloud.aws.things import Things

SCHEMA = f"{journal.SCHEMA};{snapshot.SCHEMA};{sessions.SCHEMA}"

__all__ = ["SCHEMA", "Backend", "Events", "Sessions", "Things"]
