"""The caller's half of a call: permission, cache, limits, transport.

Imports `descriptions`, `rows` and what is below; it does not know the host.
Begin with `client.Mesh`. A new transport implements `transports.Transport` and is registered in `mesh/apps.py`.
"""
