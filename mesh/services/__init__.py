"""The mesh's own operations: background jobs, mails and documents on their way, the cache, tools for LLMs.

Imports `execution` and what is below.
Each file is a service class.
"""

from mesh.services import cache, documents, jobs, mails, tools

__all__ = ["cache", "documents", "jobs", "mails", "tools"]
