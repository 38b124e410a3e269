"""Meshwork's settings for the jobs: as deployed, with the operations of `benchmarks.services` beside its own."""

from config.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks"]  # noqa: F405
