"""Which command runs in this thread: what is read in its transaction is not yet true for others."""

import contextvars

from mesh.declarations.invocation import Invocation

running_command: contextvars.ContextVar[Invocation | None] = contextvars.ContextVar("running command", default=None)


def in_command() -> bool:
    """Whether a command runs here: what is read in its transaction is not yet true for others."""
    return running_command.get() is not None
