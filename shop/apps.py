from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Products, orders and stock."""

    name = "shop"
