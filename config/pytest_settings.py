"""The settings of the tests: the environment's, with the mesh's example app, and passwords that are hashed quickly."""

from django.contrib.auth.hashers import BCryptSHA256PasswordHasher

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "mesh.tests.example"]
PASSWORD_HASHERS = ["config.pytest_settings.QuickHasher"]


class QuickHasher(BCryptSHA256PasswordHasher):
    """Takes a millisecond in place of a quarter of a second."""

    rounds = 4
