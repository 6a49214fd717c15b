"""The IPC server: framing, connections, dispatch, authorization and one module per service."""
