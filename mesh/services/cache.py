"""mesh.services.cache."""

from typing import Self

from pydantic import Field

from mesh.calling.cache import lookups
from mesh.declarations.decorators import query
from mesh.declarations.permissions import admins
from mesh.declarations.registry import registry
from mesh.declarations.schemas import Out
from mesh.execution.service import Service


class LookupsOut(Out):
    """How often an answer was found in the cache."""

    hits: int
    misses: int
    ratio: float | None = Field(description="Hits over all; null where nothing was looked up.")

    @classmethod
    def counted(cls, hits: int, misses: int) -> Self:
        return cls(hits=hits, misses=misses, ratio=round(hits / (hits + misses), 4) if hits + misses else None)


class CacheStatsOut(Out):
    """What the cache saves, since this server was started."""

    hits: int
    misses: int
    ratio: float | None
    operations: dict[str, LookupsOut] = Field(description="The same for each operation whose answers are cached.")


class CacheService(Service):
    """The cache of answers."""

    name = "cache"

    @query("GET /cache/stats", allow=admins)
    def get_cache_stats(self) -> CacheStatsOut:
        """Show how often answers were found in the cache, in all and for each operation."""
        counts = lookups()
        cached = sorted(name for name, operation in registry.operations.items() if operation.declaration.ttl)
        operations = {name: LookupsOut.counted(counts[name, "hit"], counts[name, "miss"]) for name in cached}
        hits, misses = (sum(getattr(one, result) for one in operations.values()) for result in ("hits", "misses"))
        return CacheStatsOut(**LookupsOut.counted(hits, misses).model_dump(), operations=operations)
