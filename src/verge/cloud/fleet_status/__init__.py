"""Takes in what core devices report of themselves."""

from verge.cloud.fleet_status.intake import Intake

__all__ = ["Intake"]
