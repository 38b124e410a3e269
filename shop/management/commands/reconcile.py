"""`reconcile`: prints the counters and orders that disagree with the ledger now."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shop.models import Product
from shop.reconciler import discrepancies


class Command(BaseCommand):
    help = "Prints where counters, orders and the ledger of the stock do not agree; exits with 1 then. Changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        disagreements = discrepancies()
        for discrepancy in disagreements:
            self.stdout.write(str(discrepancy))
        if disagreements:
            raise CommandError(f"{len(disagreements)} numbers do not agree with the ledger.")
        self.stdout.write(f"all {Product.objects.count()} products agree")
