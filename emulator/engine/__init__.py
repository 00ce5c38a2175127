"""Owns the state: instances, accepted jobs, resources. Knows asyncio and the ports."""
