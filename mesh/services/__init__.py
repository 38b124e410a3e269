"""The mesh's own operations: background jobs, mails and documents on their way, the cache, tools for LLMs."""

from mesh.services import cache, documents, jobs, mails, tools

__all__ = ["cache", "documents", "jobs", "mails", "tools"]
