"""MQTT: a real mosquitto behind a gate that knows certificates, client ids and policies."""
