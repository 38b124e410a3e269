"""A local server that speaks the part of Stripe's API that payments use: PaymentIntents, refunds, signed webhooks.

It keeps Stripe's rules: a request that comes again with its Idempotency-Key gets the first answer, and with other
parameters it is refused; a PaymentIntent that has succeeded is not cancelled; nothing is refunded twice.
"""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import requests
from django.db import connection
from stripe import WebhookSignature

from mesh.tests.jobs import due_now

KEY = "sk_test_only_for_tests"
WEBHOOK_SECRET = "whsec_only_for_tests"


class Refused(Exception):
    """An error as Stripe answers it."""

    def __init__(self, status, message, code="", kind="invalid_request_error"):
        self.status = status
        self.body = {"error": {"type": kind, "message": message, "code": code}}


class Stripe(ThreadingHTTPServer):
    """`script`: what becomes of the next requests: a status to refuse them with, or a number of seconds to hang."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = []
        self.requests = []
        self.intents = {}
        self.refunds = []
        self.refund_status = "succeeded"
        self.answered = lambda path: None
        self._kept = {}
        self._lock = threading.Lock()
        self.leave = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def intent(self):
        """The only PaymentIntent."""
        (found,) = self.intents.values()
        return found

    def sent(self, path):
        """How often a path was asked for."""
        return sum(path in request for request in self.requests)

    def pays(self, intent=None, amount=None):
        """The buyer pays; the webhook's event."""
        intent = intent or self.intent
        assert intent["status"] == "requires_payment_method", intent
        received = intent["amount"] if amount is None else amount
        intent |= {"status": "succeeded", "amount_received": received, "last_payment_error": None}
        intent["latest_charge"] = {
            "id": f"ch_{intent['id']}", "object": "charge", "refunded": False, "payment_intent": intent["id"],
        }  # fmt: skip
        return event("payment_intent.succeeded", intent)

    def declines(self):
        self.intent["last_payment_error"] = {"code": "card_declined", "message": "Your card was declined."}
        return event("payment_intent.payment_failed", self.intent)

    def cuts_off_the_worker(self):
        """Whoever gets an answer from now on has lost its job by then."""

        def cut_off(path):
            due_now()
            connection.close()  # of the server's own thread

        self.answered = cut_off

    def sends(self, url, body):
        """Sends a message to a webhook; its status."""
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed(body)}
        return requests.post(url, body.encode(), headers=headers, timeout=20).status_code

    def answer(self, method, path, params, key):
        with self._lock:
            if key is None or method == "GET":
                return self._done(method, path, params)
            if key not in self._kept:
                self._kept[key] = (path, params, *self._done(method, path, params))
            kept_path, kept_params, status, body = self._kept[key]
            if (kept_path, kept_params) != (path, params):
                raise Refused(400, "Keys for idempotent requests can only be used once.", kind="idempotency_error")
            return status, body

    def _done(self, method, path, params):
        match path.strip("/").split("/")[1:]:
            case ["payment_intents"] if method == "POST":
                return 200, self._create(params)
            case ["payment_intents", id]:
                shown = dict(self._found(id))
                if params.get("expand[0]") != "latest_charge" and shown["latest_charge"]:
                    shown["latest_charge"] = shown["latest_charge"]["id"]
                return 200, shown
            case ["payment_intents", id, "cancel"]:
                return 200, self._cancel(self._found(id))
            case ["refunds"]:
                return 200, self._refund(params)
        raise Refused(404, "Unrecognized request URL.")

    def _create(self, params):
        if int(params["amount"]) < 50:
            raise Refused(400, "Amount must be at least 50 cents.", "amount_too_small")
        id = f"pi_{len(self.intents) + 1}"
        metadata = {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")}
        self.intents[id] = {
            "id": id, "object": "payment_intent", "amount": int(params["amount"]), "amount_received": 0,
            "currency": params["currency"], "status": "requires_payment_method", "client_secret": f"{id}_secret_x",
            "latest_charge": None, "last_payment_error": None, "metadata": metadata,
        }  # fmt: skip
        return dict(self.intents[id])

    def _found(self, id):
        if id not in self.intents:
            raise Refused(404, f"No such payment_intent: '{id}'", "resource_missing")
        return self.intents[id]

    def _cancel(self, intent):
        if intent["status"] in ("succeeded", "canceled", "processing"):
            message = f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
            raise Refused(400, message, "payment_intent_unexpected_state")
        intent["status"] = "canceled"
        return dict(intent)

    def _refund(self, params):
        intent = self._found(params["payment_intent"])
        if intent["status"] != "succeeded":
            raise Refused(400, "This PaymentIntent does not have a successful charge to refund.")
        if intent["latest_charge"]["refunded"]:
            raise Refused(400, "Charge has already been refunded.", "charge_already_refunded")
        failed = self.refund_status == "failed"
        intent["latest_charge"]["refunded"] = not failed
        refund = {
            "id": f"re_{intent['id']}", "object": "refund", "status": self.refund_status,
            "payment_intent": intent["id"], "metadata": {"payment": params["metadata[payment]"]},
            "failure_reason": "lost_or_stolen_card" if failed else None,
        }  # fmt: skip
        self.refunds.append(refund)
        return refund

    def refunds_by_hand(self):
        self.intent["latest_charge"]["refunded"] = True
        return event("charge.refunded", self.intent["latest_charge"])


class Handler(BaseHTTPRequestHandler):
    server: Stripe

    def do_GET(self):
        self._answer(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self):
        self._answer(dict(parse_qsl(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())))

    def _answer(self, params):
        server, path = self.server, urlsplit(self.path).path
        server.requests.append(f"{self.command} {path}")
        step = server.script.pop(0) if server.script else 200
        if isinstance(step, float):
            server.leave.wait(step)
            return
        try:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                raise Refused(401, "Invalid API Key provided.")
            if step != 200:
                raise Refused(step, "Something went wrong at Stripe.", kind="api_error")
            status, body = server.answer(self.command, path, params, self.headers["Idempotency-Key"])
        except Refused as refusal:
            status, body = refusal.status, refusal.body
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        server.answered(path)
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def event(kind, about):
    """An event's body, of the moment when it happens."""
    shown = dict(about)
    if isinstance(shown.get("latest_charge"), dict):
        shown["latest_charge"] = shown["latest_charge"]["id"]
    return json.dumps({"id": f"evt_{time.time_ns()}", "object": "event", "type": kind, "data": {"object": shown}})


def signed(body, secret=WEBHOOK_SECRET, at=None):
    """The `Stripe-Signature` of a body."""
    return WebhookSignature.generate_signature_header(body, secret, at)


@contextmanager
def running():
    server = Stripe()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.leave.set()
        server.shutdown()
        server.server_close()
        thread.join()
