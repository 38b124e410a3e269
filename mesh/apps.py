from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class MeshConfig(AppConfig):
    """Loads every app's `services` module, so that the registry is whole before the first call."""

    name = "mesh"
    verbose_name = "Mesh"

    def ready(self) -> None:
        from mesh import checks, tools  # noqa: F401  (registers the system checks and the tools' own service)

        autodiscover_modules("services")
