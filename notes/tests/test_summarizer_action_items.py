"""Action items: who is to do what, by when, as seen on Wednesday, 4 March 2026, 10:00."""

from datetime import UTC, datetime

import pytest

from notes.extractive import ExtractiveSummarizer
from notes.summarizer import ActionItem

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)
FRIDAY, MONDAY = datetime(2026, 3, 6, 17, tzinfo=UTC), datetime(2026, 3, 9, 17, tzinfo=UTC)
TOMORROW = datetime(2026, 3, 5, 17, tzinfo=UTC)


def found(text: str) -> list[tuple[str, str | None, datetime | None]]:
    items = ExtractiveSummarizer().summarize(text, now=NOW).action_items
    assert all(item.quote in text for item in items)
    return [(item.title, item.assignee, item.due_date) for item in items]


ENGLISH = {
    "Maria will send the offer by Friday.": ("Send the offer", "Maria", FRIDAY),
    "By Friday, Maria will send the offer.": ("Send the offer", "Maria", FRIDAY),
    "Fine, Maria's going to send the offer.": ("Send the offer", "Maria", None),
    "We agreed that Maria will send the offer.": ("Send the offer", "Maria", None),
    "Tom and Jerry have to review the contract tomorrow.": ("Review the contract", "Tom and Jerry", TOMORROW),
    "Ms. O'Neill promised to fix the printer.": ("Fix the printer", "Ms. O'Neill", None),
    "John's team will handle the migration by Friday.": ("Handle the migration", "John's team", FRIDAY),
    "The agency will send the minutes.": ("Send the minutes", "The agency", None),
    "Anna is responsible for the catering.": ("Take care of the catering", "Anna", None),
    "Someone needs to order paper.": ("Order paper", None, None),
    "We need to renew the certificate by Friday.": ("Renew the certificate", None, FRIDAY),
    "I'll call the bank tomorrow, otherwise we pay a fee.": ("Call the bank", None, TOMORROW),
    "Anna: Great. And I will call the bank.": ("Call the bank", "Anna", None),
    "Kim, can you order the badges?": ("Order the badges", "Kim", None),
    "Could you, Greg, check the letter by Friday?": ("Check the letter", "Greg", FRIDAY),
    "Please forward the minutes to Kim.": ("Forward the minutes to Kim", None, None),
    "@bob please check the invoices": ("Check the invoices", "bob", None),
    "Don't forget to water the plants.": ("Water the plants", None, None),
    "TODO: update the docs (Tom)": ("Update the docs", "Tom", None),
    "Action (Maria): book flights": ("Book flights", "Maria", None),
    "AI: John to prepare slides by Friday": ("Prepare slides", "John", FRIDAY),
    "- [ ] Priya: draft the job ad by Monday": ("Draft the job ad", "Priya", MONDAY),
    "* Send the offer – Maria – by Friday": ("Send the offer", "Maria", FRIDAY),
    "1. Sarah to circulate minutes by COB Friday": ("Circulate minutes", "Sarah", FRIDAY),
}
GERMAN = {
    "Maria schickt das Angebot bis Freitag.": ("Das Angebot schicken", "Maria", FRIDAY),
    "Bis Freitag schickt Maria das Angebot.": ("Das Angebot schicken", "Maria", FRIDAY),
    "Jonas muss morgen noch den Vertrag kündigen.": ("Den Vertrag kündigen", "Jonas", TOMORROW),
    "Herr Dr. Müller soll die Zahlen liefern.": ("Die Zahlen liefern", "Herr Dr. Müller", None),
    "Petra bereitet die Präsentation bis Freitag vor.": ("Die Präsentation vorbereiten", "Petra", FRIDAY),
    "Ayse kümmert sich um den Strom.": ("Sich um den Strom kümmern", "Ayse", None),
    "Lena und Max organisieren das Sommerfest.": ("Das Sommerfest organisieren", "Lena und Max", None),
    "Ich werde den Kunden morgen anrufen.": ("Den Kunden anrufen", None, TOMORROW),
    "Uwe: Die Texte schreibe ich bis Freitag.": ("Die Texte schreiben", "Uwe", FRIDAY),
    "Die Agentur liefert die Entwürfe bis Freitag.": ("Die Entwürfe liefern", "Die Agentur", FRIDAY),
    "Wir müssen noch einen Raum buchen.": ("Einen Raum buchen", None, None),
    "Bitte die Rechnung bis morgen prüfen.": ("Die Rechnung prüfen", None, TOMORROW),
    "@katja bitte Fotos schicken": ("Fotos schicken", "katja", None),
    "Kannst du den Drucker reparieren, Uwe?": ("Den Drucker reparieren", "Uwe", None),
    "Nicht vergessen: Blumen kaufen": ("Blumen kaufen", None, None),
    "- Kundenliste bereinigen (Tim, bis Freitag)": ("Kundenliste bereinigen", "Tim", FRIDAY),
    "Der Antrag muss noch unterschrieben werden.": ("Der Antrag muss noch unterschrieben werden", None, None),
}
SPANISH = {
    "María enviará la oferta para el viernes.": ("Enviar la oferta", "María", FRIDAY),
    "María hará el informe.": ("Hacer el informe", "María", None),
    "Pablo va a llamar al cliente mañana.": ("Llamar al cliente", "Pablo", TOMORROW),
    "Lucía tiene que revisar el contrato.": ("Revisar el contrato", "Lucía", None),
    "Ana y Luis prepararán la presentación.": ("Preparar la presentación", "Ana y Luis", None),
    "Andrés se encarga de hablar con el seguro.": ("Hablar con el seguro", "Andrés", None),
    "Rosa: Yo me encargo de las bebidas.": ("Encargarse de las bebidas", "Rosa", None),
    "Enviaré el informe el lunes.": ("Enviar el informe", None, MONDAY),
    "Voy a preparar la demo para el viernes.": ("Preparar la demo", None, FRIDAY),
    "Pedro quedó en mandar las fotos.": ("Mandar las fotos", "Pedro", None),
    "Hay que comprar papel.": ("Comprar papel", None, None),
    "Necesitamos actualizar la web.": ("Actualizar la web", None, None),
    "¿Puedes reservar la sala, Marta?": ("Reservar la sala", "Marta", None),
    "Por favor, enviad los datos a Elena.": ("Enviad los datos a Elena", None, None),
    "@diego por favor revisa las facturas": ("Revisa las facturas", "diego", None),
    "TODO: renovar el dominio (Pablo)": ("Renovar el dominio", "Pablo", None),
    "- Rosa: llamar al banco": ("Llamar al banco", "Rosa", None),
}
NOTHING_TO_DO = [
    "Maria will not send the offer.",
    "Maria won't send the offer.",
    "Maria sent the offer on Monday.",
    "Maria has sent the offer.",
    "Maria should have sent the offer by Friday.",
    "Maria might send the offer tomorrow.",
    "Maria would send the offer.",
    "If Tom agrees, Maria will send the offer.",
    "Maria will send the offer if Tom agrees.",
    "Will Maria send the offer?",
    "Maria will be on holiday next week.",
    "The prices will rise by 10 %.",
    "Sales will drop in May.",
    "Please note that the office is closed on Friday.",
    "We should look for a larger office.",
    "We don't need to move the archive.",
    "Can you hear me?",
    "- [x] send invoice",
    "- Tom: send invoice - done",
    "Action items: none",
    "Maria schickt das Angebot nicht.",
    "Max soll nicht anrufen.",
    "Maria hat das Angebot geschickt.",
    "Wenn der Kunde zusagt, schickt Maria das Angebot.",
    "Maria könnte das Angebot morgen schicken.",
    "Die Rechnung wurde gestern bezahlt.",
    "Wir müssen nichts weiter tun.",
    "Die Preise werden steigen.",
    "Das Angebot ist bis Freitag gültig.",
    "- Uwe: Lagerplan aushängen - erledigt",
    "María no enviará la oferta.",
    "María ha enviado la oferta.",
    "Ya enviamos las muestras la semana pasada.",
    "Si el cliente acepta, María enviará la oferta.",
    "Quizá María envíe la oferta mañana.",
    "Los precios subirán un 10 %.",
    "María estará de vacaciones la próxima semana.",
    "- Raúl: limpiar el patio - hecho",
    "会议结束。",
    "🎉🎉🎉",
]


@pytest.mark.parametrize(("text", "item"), [*ENGLISH.items(), *GERMAN.items(), *SPANISH.items()])
def test_one_sentence(text, item):
    assert found(text) == [item]


@pytest.mark.parametrize("text", NOTHING_TO_DO)
def test_negated_past_and_hypothetical_statements_are_none(text):
    assert found(text) == []


def test_one_sentence_may_hold_two():
    assert found("Maria will send the offer and Tom will call the client by Monday.") == [
        ("Send the offer", "Maria", None),
        ("Call the client", "Tom", MONDAY),
    ]


def test_the_quote_is_the_sentence_as_it_stands():
    text = "## Call\n\n- It was long.\n- **Maria** will send\n  the offer by Friday. Then we see."
    [item] = ExtractiveSummarizer().summarize(text, now=NOW).action_items
    assert item == ActionItem("Send the offer", "Maria", FRIDAY, "**Maria** will send\n  the offer by Friday.")


def test_every_bullet_under_its_heading_is_one():
    text = "Nächste Schritte:\n- Neue Farbe aussuchen\n- Schlüssel (Tim)\n\nDie Farbe ist grün."
    assert found(text) == [("Neue Farbe aussuchen", None, None), ("Schlüssel", "Tim", None)]


def test_who_says_yes_takes_it():
    text = "Ben: Can you send the designs to Carla?\nDave: Sure.\nBen: Who does the flyers?\nEve: I'll do it."
    assert found(text) == [("Send the designs to Carla", "Dave", None), ("Do the flyers", "Eve", None)]


def test_the_same_task_is_listed_once():
    assert found("Maria will send the offer.\n\nTODO: send the offer (Maria)") == [("Send the offer", "Maria", None)]


def test_there_are_at_most_fifty():
    assert len(found("\n".join(f"- [ ] task number {number}" for number in range(200)))) == 50


def test_lengths_are_limited():
    text = f"{'Anna ' * 3}will write {'a very long report ' * 100}by Friday"
    for item in ExtractiveSummarizer().summarize(text, now=NOW).action_items:
        assert len(item.title) <= 200
        assert len(item.assignee or "") <= 100
        assert len(item.quote) <= 500
