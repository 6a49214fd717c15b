"""Who is trusted, and how the device proves who it is."""

from __future__ import annotations

import os
import ssl

from verge.nucleus import settings
from verge.nucleus.cloud import errors

MQTT_ALPN = "x-amzn-mqtt-ca"
"""What tells MQTT from HTTPS where both are served on port 443."""


def device_context(configured: settings.Settings, *, mqtt: bool = False) -> ssl.SSLContext:
    """Return the context that shows the device's certificate. Raises CloudError."""
    cloud = configured.cloud
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _trust(context, configured.root_ca_path)
    try:
        context.load_cert_chain(cloud.certificate, cloud.private_key)
    except (OSError, ssl.SSLError) as error:
        raise errors.CloudError(
            f"cannot use the certificate {cloud.certificate} with the key {cloud.private_key}: "
            f"{error}; provision the device again"
        ) from error
    if mqtt and cloud.mqtt_port == 443:
        context.set_alpn_protocols([MQTT_ALPN])
    return context


def public_context(configured: settings.Settings) -> ssl.SSLContext:
    """Return the context for S3, which trusts the system's authorities, too. Raises CloudError."""
    context = ssl.create_default_context()
    for file in (configured.root_ca_path, os.environ.get("AWS_CA_BUNDLE", "")):
        if file:
            _trust(context, file)
    return context


def _trust(context: ssl.SSLContext, file: str) -> None:
    if not file:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise errors.CloudError(
            f"cannot read the trusted certificates in {file}: {error}; correct system.rootCaPath"
        ) from error
