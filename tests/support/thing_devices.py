"""Core devices that take the deployments of their thing, from its shadow (contract 5.8)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.support import core_devices, mqtt_client

SHADOW = "AWSManagedGreengrassV2Deployment"


class ThingDevice(core_devices.CoreDevice):
    """Gets its shadow, deploys what is desired once and reports under the shadow's version.

    `deployed` are the ARNs of the configurations in the order of their deployment.
    """

    async def _serve(self, mqtt: mqtt_client.Mqtt) -> None:
        shadow = f"$aws/things/{self.thing}/shadow/name/{SHADOW}"
        await mqtt.subscribe(
            f"{shadow}/get/accepted", f"{shadow}/update/accepted", f"{shadow}/update/rejected"
        )
        self.connected.set()
        await mqtt.publish(f"{shadow}/get", b"")
        while True:
            await self._take(mqtt, await mqtt.unless_lost(self._executions.get()))

    def _received(self, topic: str, payload: Any) -> None:
        if payload.get("clientToken") == self.thing:
            super()._received(topic, payload)
        elif "fleetConfig" in payload.get("state", {}).get("desired", {}):
            self._executions.put_nowait(payload)

    async def _take(self, mqtt: mqtt_client.Mqtt, execution: dict[str, Any]) -> None:
        document = json.loads(execution["state"]["desired"]["fleetConfig"])
        arn = document["configurationArn"]
        reported = execution["state"].get("reported", {})
        if reported.get("fleetConfigurationArnForStatus") == arn:
            return
        if arn not in self.deployed:
            await self._deploy(document)
            self.deployed.append(arn)
        await self._tell_status(mqtt, document)
        await self._tell_shadow(mqtt, arn, execution["version"])

    async def _tell_shadow(self, mqtt: mqtt_client.Mqtt, arn: str, version: int) -> None:
        """Report; where the shadow has changed meanwhile, get it again, which repeats this."""
        shadow = f"$aws/things/{self.thing}/shadow/name/{SHADOW}"
        future = self._answers[self.thing] = asyncio.get_running_loop().create_future()
        reported = {
            "fleetConfigurationArnForStatus": arn,
            "status": self._outcome,
            "statusDetails": {
                "detailedStatus": "SUCCESSFUL",
                "failureCause": "",
                "errorStack": [],
                "errorTypes": [],
            },
            "ggcVersion": "2.12.0",
        }
        update = {"state": {"reported": reported}, "version": version, "clientToken": self.thing}
        await mqtt.publish(f"{shadow}/update", update)
        kind, _ = await mqtt.unless_lost(future)
        if kind == "rejected":
            await mqtt.publish(f"{shadow}/get", b"")
