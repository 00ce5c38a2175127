"""The service's HTTP API, on the wire listener."""
