from django.apps import AppConfig


class ExampleConfig(AppConfig):
    name = "mesh.tests.example"
    label = "example"
    verbose_name = "Example"
