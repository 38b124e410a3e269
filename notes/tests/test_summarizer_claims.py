"""Who is to do what: how each language asks, promises, negates, doubts and tells of the past.

As seen on Wednesday, 4 March 2026, 10:00.
"""

from datetime import UTC, datetime

import pytest

from notes.extractive import ExtractiveSummarizer

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)


def found(text: str) -> list[tuple[str, str | None]]:
    """The titles and assignees of the action items."""
    return [(item.title, item.assignee) for item in ExtractiveSummarizer().summarize(text, now=NOW).action_items]


@pytest.mark.parametrize(
    "modal",
    [
        "will", "must", "shall", "should", "has to", "needs to", "is to", "is going to", "is supposed to",
        "is expected to", "agreed to", "promised to", "offered to", "volunteered to", "committed to", "will also",
        "will definitely",
    ],
)  # fmt: skip
def test_english_modals(modal):
    assert found(f"Maria {modal} send the offer.") == [("Send the offer", "Maria")]


@pytest.mark.parametrize("modal", ["wird", "soll", "sollte", "muss", "muss noch", "soll auch", "wird dann"])
def test_german_modals(modal):
    assert found(f"Maria {modal} das Angebot schicken.") == [("Das Angebot schicken", "Maria")]


@pytest.mark.parametrize(
    "duty",
    [
        "va a", "debe", "debería", "tiene que", "ha de", "necesita", "queda en", "quedó en", "se compromete a",
        "se comprometió a", "también debe", "se encarga de", "se ocupa de", "se encargará de",
    ],
)  # fmt: skip
def test_spanish_duties(duty):
    assert found(f"María {duty} enviar la oferta.") == [("Enviar la oferta", "María")]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Dr. Dr. Müller will sign it by Friday.", "Dr. Dr. Müller"),
        ("Prof. Smith will sign it by Friday.", "Prof. Smith"),
        ("Mrs. Smith-Jones will sign it by Friday.", "Mrs. Smith-Jones"),
        ("Tom O’Neill will sign it by Friday.", "Tom O’Neill"),
        ("Ödön will sign it by Friday.", "Ödön"),
        ("Łukasz will sign it by Friday.", "Łukasz"),
        ("李明 will sign it by Friday.", "李明"),
        ("@anna will sign it by Friday.", "anna"),
        ("Anna, Bob and Eve will sign it by Friday.", "Anna, Bob and Eve"),
        ("Acme Corp will sign it by Friday.", "Acme Corp"),
        ("The board will sign it by Friday.", "The board"),
        ("Everyone will sign it by Friday.", "Everyone"),
        ("Someone will sign it by Friday.", None),
        ("They will sign it by Friday.", None),
        ("I will sign it by Friday.", None),
    ],
)
def test_english_names(text, who):
    assert found(text) == [("Sign it", who)]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Frau Dr. Huber prüft den Vertrag.", "Frau Dr. Huber"),
        ("Hr. Müller prüft den Vertrag.", "Hr. Müller"),
        ("Herr Müller und Frau Huber prüfen den Vertrag.", "Herr Müller und Frau Huber"),
        ("Das Team prüft den Vertrag.", "Das Team"),
        ("Die Buchhaltung prüft den Vertrag.", "Die Buchhaltung"),
        ("Alle prüfen den Vertrag.", "Alle"),
        ("Jemand muss den Vertrag prüfen.", None),
        ("Ich prüfe den Vertrag.", None),
        ("Er prüft den Vertrag bis Freitag.", None),
    ],
)
def test_german_names(text, who):
    assert found(text) == [("Den Vertrag prüfen", who)]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Don Luis revisará el contrato.", "Don Luis"),
        ("Ana, Luis y Eva revisarán el contrato.", "Ana, Luis y Eva"),
        ("El equipo revisará el contrato.", "El equipo"),
        ("La agencia tiene que revisar el contrato.", "La agencia"),
        ("Todos revisarán el contrato.", "Todos"),
        ("Alguien tiene que revisar el contrato.", None),
        ("Yo revisaré el contrato.", None),
        ("Debemos revisar el contrato.", None),
        ("Hace falta revisar el contrato.", None),
        ("Queda por revisar el contrato.", None),
    ],
)
def test_spanish_names(text, who):
    assert found(text) == [("Revisar el contrato", who)]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Please call the bank.", None),
        ("pls call the bank", None),
        ("Tom, please call the bank.", "Tom"),
        ("Tom, call the bank.", "Tom"),
        ("Tom to call the bank.", "Tom"),
        ("Can somebody call the bank?", None),
        ("Could anyone please call the bank?", None),
        ("Would you call the bank, Tom?", "Tom"),
        ("Would you please call the bank?", None),
        ("Remember to call the bank.", None),
        ("Make sure to call the bank.", None),
        ("Okay, so please call the bank.", None),
    ],
)
def test_english_requests(text, who):
    assert found(text) == [("Call the bank", who)]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Bitte den Vertrag prüfen.", None),
        ("Tim, bitte den Vertrag prüfen.", "Tim"),
        ("Könntest du den Vertrag prüfen?", None),
        ("Könnten Sie bitte den Vertrag prüfen?", None),
        ("Würdest du den Vertrag prüfen, Tim?", "Tim"),
        ("Würden Sie den Vertrag prüfen?", None),
        ("Tim, kannst du den Vertrag prüfen?", "Tim"),
        ("Kannst du, Tim, den Vertrag prüfen?", "Tim"),
        ("Könnt ihr den Vertrag bis Freitag prüfen?", None),
    ],
)
def test_german_requests(text, who):
    assert found(text) == [("Den Vertrag prüfen", who)]


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("¿Puedes firmar el contrato?", None),
        ("¿Podrías firmar el contrato, Luis?", "Luis"),
        ("Luis, ¿puedes firmar el contrato?", "Luis"),
        ("¿Puede usted firmar el contrato?", None),
        ("Podría usted firmar el contrato?", None),
        ("No olvides firmar el contrato.", None),
        ("No olvidar firmar el contrato.", None),
        ("Recuerda firmar el contrato.", None),
    ],
)
def test_spanish_requests(text, who):
    assert found(text) == [("Firmar el contrato", who)]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Maria gibt die Schlüssel zurück.", "Die Schlüssel zurückgeben"),
        ("Maria lädt die Gäste ein.", "Die Gäste einladen"),
        ("Maria ruft den Kunden an.", "Den Kunden anrufen"),
        ("Maria liest den Bericht.", "Den Bericht lesen"),
        ("Maria meldet den Schaden.", "Den Schaden melden"),
        ("Maria kümmert sich um den Kuchen.", "Sich um den Kuchen kümmern"),
        ("Maria ist zuständig für das Catering.", "Sich um das Catering kümmern"),
        ("Das Angebot schickt Maria, weil Tim krank ist.", "Das Angebot schicken"),
        ("Ok, dann schickt Maria das Angebot.", "Das Angebot schicken"),
    ],
)
def test_german_verbs_become_infinitives(text, title):
    assert found(text) == [(title, "Maria")]


@pytest.mark.parametrize(
    ("text", "title", "who"),
    [
        ("María la enviará mañana.", "Enviarla", "María"),
        ("María se lo enviará mañana.", "Enviárselo", "María"),
        ("Se lo enviaré mañana.", "Enviárselo", None),
        ("Rosa: Los enviaré el viernes.", "Enviarlos", "Rosa"),
        ("Te traeré el informe el lunes.", "Traerte el informe", None),
        ("La agencia enviará el diseño.", "Enviar el diseño", "La agencia"),
        ("María hará el informe.", "Hacer el informe", "María"),
        ("María pondrá la mesa.", "Poner la mesa", "María"),
        ("María propondrá una fecha.", "Proponer una fecha", "María"),
        ("María se ocupa del catering.", "Encargarse del catering", "María"),
        ("Rosa: Me encargo de llamar al banco.", "Llamar al banco", "Rosa"),
        ("Yo llamo al banco.", "Llamar al banco", None),
        ("María pide cita el viernes.", "Pedir cita", "María"),
        ("María enviará la oferta porque Luis está enfermo.", "Enviar la oferta", "María"),
    ],
)
def test_spanish_verbs_become_infinitives(text, title, who):
    assert found(text) == [(title, who)]


@pytest.mark.parametrize(
    "text",
    [
        "Nobody will send the offer.",
        "Nobody needs to call.",
        "Maria will never send the offer.",
        "Maria will probably send the offer.",
        "Maria shouldn't send the offer.",
        "Maria doesn't need to send the offer.",
        "Niemand schickt das Angebot.",
        "Keiner muss das Angebot schicken.",
        "Maria schickt kein Angebot.",
        "Maria schickt das Angebot nie.",
        "Bitte nicht stören.",
        "Nadie enviará la oferta.",
        "María no va a enviar la oferta.",
        "María nunca enviará la oferta.",
        "No hay que comprar papel.",
        "No tenemos que comprar papel.",
    ],
)
def test_what_is_negated_is_none(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Tom tried to call the bank.",
        "Tom forgot to send the offer.",
        "Bob was to sign the form.",
        "Tom wants to buy a car.",
        "Ready to ship by Friday.",
        "Time to send the invoice.",
        "Bob will have signed the form.",
        "Maria schickte das Angebot.",
        "Maria hat das übernommen.",
        "María envió la oferta.",
        "María enviaba la oferta.",
    ],
)
def test_what_is_past_or_a_wish_is_none(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Perhaps Maria will send the offer.",
        "Suppose Maria will send the offer.",
        "Maria will send the offer unless Tom does.",
        "Would Maria send the offer?",
        "Maria schickt das Angebot, falls Tim zusagt.",
        "Maria möchte das Angebot schicken.",
        "Maria darf das Angebot schicken.",
        "María enviará la oferta, si acepta el cliente.",
        "María podría enviar la oferta.",
        "Ojalá María envíe la oferta el lunes.",
    ],
)
def test_what_is_only_possible_is_none(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Monday will bring rain.",
        "May will be hard.",
        "This will take a week.",
        "That must change.",
        "Let's call the bank.",
        "Will do.",
        "Bob will do it.",
        "Call the bank.",
        "Montag schickt keiner was.",
        "Der Vertrag läuft am Freitag aus.",
        "Bitte beachten Sie die Frist.",
        "El precio subirá.",
        "Lo haré yo.",
        "Yo me encargo.",
        "Hay que estar atentos.",
        "Llamar al banco.",
    ],
)
def test_what_names_no_task_or_nobody_is_none(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Call the bank by Friday.", "Call the bank"),
        ("Vertrag bis Freitag prüfen.", "Vertrag prüfen"),
        ("Llamar al banco antes del viernes.", "Llamar al banco"),
    ],
)
def test_a_date_makes_a_bare_infinitive_a_task(text, title):
    assert found(text) == [(title, None)]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        (
            "Bob will sign the form; Anna will call the bank.",
            [("Sign the form", "Bob"), ("Call the bank", "Anna")],
        ),
        (
            "Bob will sign the form, while Anna will call the bank.",
            [("Sign the form", "Bob"), ("Call the bank", "Anna")],
        ),
        ("Bob will sign the form and send it.", [("Sign the form and send it", "Bob")]),
        (
            "Maria schickt das Angebot und Tim ruft den Kunden an.",
            [("Das Angebot schicken", "Maria"), ("Den Kunden anrufen", "Tim")],
        ),
        (
            "María hará el informe y Luis llamará al cliente.",
            [("Hacer el informe", "María"), ("Llamar al cliente", "Luis")],
        ),
        (
            "Maria will send the offer.\nTim prüft den Vertrag.\nLuis llamará al cliente.",
            [("Send the offer", "Maria"), ("Den Vertrag prüfen", "Tim"), ("Llamar al cliente", "Luis")],
        ),
    ],
)
def test_one_text_with_several(text, items):
    assert found(text) == items
