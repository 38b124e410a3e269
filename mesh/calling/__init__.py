"""The caller's half of a call: is it allowed, is the answer cached, over which transport does it go.

Imports `descriptions`, `rows` and what is below; it does not know the host.
Begin with `client.Mesh`. A new transport implements `transports.Transport` and is registered in `mesh/apps.py`.
"""
