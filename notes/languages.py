"""The vocabulary of the extractive summarizer in English, German and Spanish."""

import re
from collections import Counter

WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")


def word_set(words: str) -> frozenset[str]:
    """The words of `words`, which are separated by blanks."""
    return frozenset(words.split())


STOP_WORDS = {
    "en": word_set(
        "a about after all also an and any are as at be been before being but by can could did do does doing done "
        "for from further get had has have he her here him his how i if in into is it its just let like may me "
        "might more most must my no nor not now of off on once only or other our out over own please same shall "
        "she should so some such than that the their them then there these they this those through to too under "
        "until up us very was we were what when where which while who why will with would you your i'll we'll "
        "he'll she'll they'll don't doesn't didn't won't can't isn't i'm it's that's let's by"
    ),
    "de": word_set(
        "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist bitte da damit dann "
        "das dass dem den denn der des deshalb die dies diese diesem diesen dieser dieses doch dort du durch ein "
        "eine einem einen einer eines er es etwas euch für gegen hab habe haben hat hatte hatten hier ich ihm ihn "
        "ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jeden jeder jetzt kann kein keine keinen können "
        "könnte mal man mehr mein meine mich mir mit muss müssen nach nicht noch nun nur ob oder ohne schon sehr "
        "sein seine seit sich sie sind so soll sollen sollte sondern über um und uns unser unsere unter vom von "
        "vor war waren warum was weil wenn wer werde werden wie wieder will wir wird wo wurde wurden zu zum zur "
        "zwischen"
    ),
    "es": word_set(
        "a al algo ante antes aquí así aún cada como con cual cuando de del desde donde dos el él ella ellas "
        "ellos en entre era eran es esa ese eso esta está están estas este esto estos fue fueron ha había han "
        "hasta hay hemos la las le les lo los más me mi mientras muy nada ni no nos nosotros nuestra nuestro o os "
        "otra otro para pero poco por porque que qué quien quién se sea según ser si sí sin sobre son su sus "
        "también tanto te tiene tienen todo todos tras tu un una uno unos vamos va y ya yo"
    ),
}

# Words that are frequent in short notes, and rare in other languages.
_TELLTALE = {
    "en": word_set("will the and to please by needs tomorrow send until with"),
    "de": word_set("bitte bis schickt morgen heute wir ich und für der die das den mit nächste nächsten woche"),
    "es": word_set("el los para enviar mañana hoy antes próximo próxima semana reunión favor tarea pendiente y"),
}
_LETTERS = {"de": re.compile("[äöüß]", re.IGNORECASE), "es": re.compile("[ñ¿¡áíóú]", re.IGNORECASE)}
_SAMPLE = 5_000  # characters are enough to recognize the language


def scores(text: str) -> Counter[str]:
    """A score for each language; the highest is that of the likeliest."""
    sample = text[:_SAMPLE]
    totals: Counter[str] = Counter()
    words = [match.group().lower() for match in WORD.finditer(sample)]
    for language in STOP_WORDS:
        totals[language] = sum((word in STOP_WORDS[language]) + (word in _TELLTALE[language]) for word in words)
    for language, letters in _LETTERS.items():
        totals[language] += len(letters.findall(sample))
    return totals


def language_of(text: str, default: str = "") -> str:
    """The likeliest language of `text`: "en", "de" or "es"; `default` if none stands out."""
    (best, most), (_, second), *_ = scores(text).most_common()
    return best if most > second * 1.2 else default


# Abbreviations: a full stop after them does not end a sentence.
ABBREVIATIONS = word_set(
    "mr mrs ms dr prof rev gen sen st vs e.g i.e eg ie cf approx ca fig vol dept est incl ext tel ph jan feb apr "
    "jun jul aug sep sept oct okt nov dec dez tue tues wed thu thur thurs fri hr hrn fr fa bzw z.b d.h u.a z.t "
    "s.o s.u o.ä v.a i.d.r ggf evtl inkl exkl zzgl nr str abs bspw bsp sog vgl mind usf geb gem lt mwst mio mrd "
    "tsd std stk ing dipl dipl.-ing m.e u.u ggü sr sra srta sres dra d dª ud uds vd vds dña lic ing avda núm pág págs "
    "p.ej p.e ej aprox tfno hnos cía dpto ee.uu"
)

ALSO_WORDS = word_set("no nos mar mon sat sun art max min")  # abbreviations, unless a sentence follows

# Labels before a colon that are not names of speakers.
LABELS = word_set(
    "action actions ai todo todos to-do to-dos do task tasks item items decision decisions decided agreed "
    "agreement note notes date time place location attendees participants present absent agenda topic topics "
    "subject re fwd from to cc summary result results next steps step owner due deadline status risk risks issue "
    "issues question questions answer problem reminder follow-up followup update updates background budget price "
    "pricing goal goals minutes meeting link links ps nb http https pros cons blocker blockers done info "
    "important warning phone email mail follow up aufgabe aufgaben aktion aktionen maßnahme maßnahmen beschluss "
    "beschlüsse entscheidung entscheidungen ergebnis ergebnisse notiz notizen datum uhrzeit ort anwesend "
    "teilnehmer teilnehmende abwesend tagesordnung thema themen betreff top nächste nächster schritt schritte "
    "zusammenfassung offen offene punkte frage fragen antwort problem hinweis wichtig achtung erinnerung termin "
    "frist stand ziel ziele preis budget erledigt verantwortlich zuständig vereinbart festgelegt beschlossen "
    "bitte protokoll website telefon tarea tareas acción acciones acuerdo acuerdos decisión decisiones nota notas "
    "fecha hora lugar asistentes participantes presentes ausentes agenda tema temas asunto resumen resultado "
    "resultados próximos próximas pasos pendiente pendientes pregunta preguntas respuesta problema problemas "
    "aviso importante recordatorio plazo estado objetivo objetivos precio presupuesto hecho responsable acta ojo "
    "por favor"
)

_MONTHS = {
    "en": "january february march april may june july august september october november december",
    "de": "januar februar märz april mai juni juli august september oktober november dezember",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
MONTHS = {name: number for names in _MONTHS.values() for number, name in enumerate(names.split(), 1)}
MONTHS |= {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "oct": 10}
MONTHS |= {"nov": 11, "dec": 12, "jänner": 1, "mär": 3, "okt": 10, "dez": 12, "setiembre": 9, "ene": 1, "abr": 4}
MONTHS |= {"ago": 8, "dic": 12}

_WEEKDAYS = {
    "en": "monday tuesday wednesday thursday friday saturday sunday",
    "de": "montag dienstag mittwoch donnerstag freitag samstag sonntag",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
    "es, unaccented": "lunes martes miercoles jueves viernes sabado domingo",
    "en, short": "mon tue wed thu fri sat sun",
    "en, longer": "mon tues wed thurs fri sat sun",
    "de, short": "mo di mi do fr sa so",
}
WEEKDAYS = {name: number for names in _WEEKDAYS.values() for number, name in enumerate(names.split())}
WEEKDAYS |= {"sonnabend": 5}

_NUMBERS = {
    "en": "one two three four five six seven eight nine ten",
    "de": "ein zwei drei vier fünf sechs sieben acht neun zehn",
    "es": "un dos tres cuatro cinco seis siete ocho nueve diez",
}
NUMBERS = {
    **{word: number for words in _NUMBERS.values() for number, word in enumerate(words.split(), 1)},
    **dict.fromkeys(("a", "an", "eine", "einer", "einem", "einen", "una"), 1),
    "a couple of": 2,
    "couple of": 2,
}
