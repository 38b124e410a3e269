"""The fixtures of the mesh's own tests, for those that look at it with every app."""

from mesh.tests.conftest import _redis_is_here as _redis_is_here
from mesh.tests.conftest import broker as broker
from mesh.tests.conftest import live as live
from mesh.tests.conftest import throwaway as throwaway
