"""The statistics of the answer cache, for ADMINs."""

from typing import Self

from pydantic import Field

from mesh.calling.cache import lookups
from mesh.declarations.decorators import query
from mesh.declarations.permissions import admins
from mesh.declarations.registry import registry
from mesh.declarations.schemas import Out
from mesh.execution.service import Service


class LookupsOut(Out):
    """How often one operation's answers were found in the cache."""

    hits: int = Field(description="How often the answer was found.")
    misses: int = Field(description="How often the answer had to be computed.")
    ratio: float | None = Field(description="Hits divided by hits and misses, 0 to 1; null if both are 0.")

    @classmethod
    def counted(cls, hits: int, misses: int) -> Self:
        return cls(hits=hits, misses=misses, ratio=round(hits / (hits + misses), 4) if hits + misses else None)


class CacheStatsOut(Out):
    """How often answers were found in the cache since this server was started."""

    hits: int = Field(description="How often an answer was found.")
    misses: int = Field(description="How often an answer had to be computed.")
    ratio: float | None = Field(description="Hits divided by hits and misses, 0 to 1; null if both are 0.")
    operations: dict[str, LookupsOut] = Field(description="The same for each cached operation, by its name.")


class CacheService(Service):
    """The cache of answers, for ADMINs."""

    name = "cache"

    @query("GET /cache/stats", allow=admins)
    def get_cache_stats(self) -> CacheStatsOut:
        """Get how often answers were found in the cache.

        For ADMINs only. Returns hits, misses and their ratio, in total and for each cached operation, since this
        server was started.
        """
        counts = lookups()
        cached = sorted(name for name, operation in registry.operations.items() if operation.declaration.ttl)
        operations = {name: LookupsOut.counted(counts[name, "hit"], counts[name, "miss"]) for name in cached}
        hits, misses = (sum(getattr(one, result) for one in operations.values()) for result in ("hits", "misses"))
        return CacheStatsOut(**LookupsOut.counted(hits, misses).model_dump(), operations=operations)
