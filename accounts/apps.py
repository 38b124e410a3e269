from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People, how they sign in, and where they are signed in."""

    name = "accounts"
