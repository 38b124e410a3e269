"""The transport to the host in this process: a function call in the caller's thread."""

from mesh.declarations.invocation import Answer, Invocation
from mesh.execution import host


class LocalTransport:
    def send(self, invocation: Invocation) -> Answer:
        return host.run(invocation)
