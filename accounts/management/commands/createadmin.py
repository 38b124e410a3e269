"""`createadmin`: creates an ADMIN, or makes an existing user one; safe to repeat."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models.functions import Now
from pydantic import TypeAdapter, ValidationError

from accounts.credentials import require_good_password
from accounts.models import Role, Session, User
from mesh import Email
from mesh.errors import Invalid
from mesh.rows.versions import bump


class Command(BaseCommand):
    help = "Makes an ADMIN with this e-mail and password, or makes the user who has the e-mail one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--password", required=True)
        parser.add_argument("--name", default="")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            email = TypeAdapter(Email).validate_python(options["email"])
        except ValidationError as error:
            raise CommandError(f"--email: {error.errors()[0]['msg']}") from None
        user = User.objects.with_email(email).select_for_update().first()
        exists = user is not None
        user = user or User(email=email)
        try:
            require_good_password(options["password"], user, "password")
        except Invalid as error:
            raise CommandError("\n".join(f"--password: {item['msg']}" for item in error.errors)) from None
        user.name = options["name"] or user.name
        user.role, user.is_active = Role.ADMIN, True
        changes_password = not exists or not user.check_password(options["password"])
        if changes_password:
            user.set_password(options["password"])
        user.updated_at = Now()
        user.save()
        if changes_password:
            Session.objects.filter(user=user).end()
        bump(user.audience())
        self.stdout.write(f"{user.email} {'is' if exists else 'is now'} an ADMIN; sign in at /admin/.")
