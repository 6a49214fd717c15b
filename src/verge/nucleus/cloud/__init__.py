"""The link to the cloud: jobs, shadow, data plane, credentials, messages (contract 5.7 to 5.9).

Imported only where an endpoint is configured; nothing else in the nucleus tries the network.
"""
