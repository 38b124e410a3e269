from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class MeshConfig(AppConfig):
    """Loads every app's `services` and `documents`, so that the registries are whole before the first call."""

    name = "mesh"
    verbose_name = "Mesh"

    def ready(self) -> None:
        from mesh import checks  # noqa: F401  (registers system checks)
        from mesh.calling import transports
        from mesh.execution.local_transport import LocalTransport

        transports.register("local", LocalTransport)
        autodiscover_modules("services", "documents")
