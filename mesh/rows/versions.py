"""Versions of cache tags: what makes a cached read provably fresh.

A change raises the versions of everyone in the changed rows' audience, as the last statement of its own transaction. A
read fetches the versions first and puts them into its cache key, so an entry is never older than its version.
"""

from collections.abc import Collection, Mapping, Sequence

from mesh.stores.postgres import fetch

#: One cache tag's version, for use inside another statement; 0 before the first change.
VERSION_OF = "COALESCE((SELECT number FROM mesh_version WHERE scope = %s), 0)"


def current(tags: Sequence[str]) -> Mapping[str, int]:
    """The current version of each cache tag, in the order of `tags`."""
    row = fetch(f"SELECT {', '.join([VERSION_OF] * len(tags))}", tags)[0]
    return dict(zip(tags, row, strict=True))


#: Raises the versions of a list of cache tags, in key order, so that transactions never deadlock.
BUMP = (
    "INSERT INTO mesh_version (scope, number) SELECT scope, 1 FROM unnest(%s::text[]) AS scope ORDER BY scope "
    "ON CONFLICT (scope) DO UPDATE SET number = mesh_version.number + 1"
)


def bump(tags: Collection[str]) -> None:
    """Raises the versions of the cache tags. Make it the last statement of its transaction."""
    fetch(BUMP, [sorted(tags)])
