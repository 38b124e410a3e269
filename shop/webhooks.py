"""The webhook of payment providers. It is not an operation, since its credential is a signature of the raw body."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from mesh import Mesh
from mesh.declarations.actors import SYSTEM
from mesh.doors.admission import Admission
from mesh.doors.http.requests import client_of, raw_body_of
from mesh.doors.http.responses import problem
from mesh.errors import MethodNotAllowed, NotFound
from shop.paying import PaymentService
from shop.payments import provider


@csrf_exempt  # sent by Stripe, not by a browser
def stripe(request: HttpRequest) -> HttpResponse:
    """`POST /payments/stripe/webhook`: records what Stripe reports; Stripe sends it again unless the answer is 200."""
    if request.method != "POST":
        return problem(MethodNotAllowed(f"{request.method} is not for this path; POST is."), {"Allow": "POST"})
    admission = Admission(request, changes=True)

    def answer() -> HttpResponse:
        if not settings.STRIPE_WEBHOOK_SECRET:
            raise NotFound("Payments by Stripe are not set up here.")
        signature = request.META.get("HTTP_STRIPE_SIGNATURE", "")
        report = provider("stripe").report_of(raw_body_of(request), signature)
        if report is not None:  # not rate-limited: it is signed by Stripe
            mesh = Mesh(SYSTEM, door="rest", request_id=admission.request_id, client=client_of(request))
            mesh.of(PaymentService).record_payment(report=report)
        return HttpResponse(b"{}", content_type="application/json", headers={"Cache-Control": "no-store"})

    return admission.respond(answer, problem)
