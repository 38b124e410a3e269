"""`reconcile`: the counters and orders that do not agree with the ledger, as they are now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shop.models import Product
from shop.reconciler import discrepancies


class Command(BaseCommand):
    help = "Prints where counters, orders and the ledger of the stock do not agree; exits with 1 then. Changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        found = discrepancies()
        for discrepancy in found:
            self.stdout.write(str(discrepancy))
        if found:
            raise CommandError(f"{len(found)} numbers do not agree with the ledger.")
        self.stdout.write(f"all {Product.objects.count()} products agree")
