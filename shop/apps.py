from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Products, orders, and the stock behind them."""

    name = "shop"
