"""The command that runs in this thread.

What its transaction reads is not yet visible to others, so it is not cached.
"""

import contextvars

from mesh.declarations.invocation import Invocation

running_command: contextvars.ContextVar[Invocation | None] = contextvars.ContextVar("running command", default=None)


def in_command() -> bool:
    """Whether a command runs in this thread."""
    return running_command.get() is not None
