"""Finds tasks in German sentences."""

import re
from collections.abc import Iterator

from notes.grammar.claim import NAME, NAMES, SPEAKER, Claim, named
from notes.languages import word_set

_VERBS = word_set(
    "abklären aktualisieren analysieren ändern anpassen beantragen beantworten bearbeiten beauftragen begleiten "
    "benachrichtigen berechnen beschaffen beschreiben besorgen besprechen bestätigen bestellen besuchen bezahlen "
    "bitten buchen beheben bereinigen berichten diskutieren dokumentieren drucken einigen entfernen entscheiden "
    "entwerfen entwickeln ergänzen erinnern erklären erneuern erstellen erweitern fertigstellen formulieren fragen "
    "führen genehmigen gestalten holen implementieren importieren informieren inserieren installieren integrieren "
    "kalkulieren kaufen klären kontaktieren kontrollieren koordinieren kopieren korrigieren kümmern kündigen laden "
    "lesen liefern löschen machen mailen melden messen montieren notieren optimieren ordnen organisieren planen "
    "posten präsentieren probieren programmieren protokollieren prüfen rechnen recherchieren reden reinigen "
    "reklamieren renovieren reparieren reservieren rufen sammeln schicken schreiben schulen senden sichern skizzieren "
    "sortieren sperren sprechen starten stornieren streichen suchen tauschen teilen telefonieren testen tragen "
    " trennen übergeben überarbeiten übernehmen überprüfen übersetzen übertragen überweisen unterschreiben "
    "untersuchen verbessern vereinbaren verfassen verhandeln verkaufen verlängern veröffentlichen verschicken "
    "verschieben versenden verteilen verwalten wechseln wiederholen zahlen zeichnen zeigen zusagen erledigen erneuern "
    "erfassen erarbeiten erheben ersetzen"
)
_BASES = word_set(  # verbs that are tasks only with a particle: "leitet … weiter"
    "arbeiten bauen bereiten bieten binden bringen fangen fassen fordern fügen geben gehen gleichen halten hängen "
    "heben kommen laden legen leiten nehmen passen räumen reichen richten sagen schalten schauen schlagen schließen "
    "sehen setzen sprechen stellen stimmen tragen werten wickeln ziehen"
)
_INFINITIVES = _VERBS | _BASES
_ENDINGS = tuple(_INFINITIVES)
_PARTICLES = word_set(
    "ab an auf aus bei durch ein fertig fest frei her heraus herunter hin hoch los mit nach nieder raus runter um vor "
    "vorbei weg weiter zu zurück zusammen bereit bekannt sicher"
)
_IRREGULAR = {
    "nimmt": "nehmen", "gibt": "geben", "spricht": "sprechen", "liest": "lesen", "hält": "halten", "lädt": "laden",
    "trägt": "tragen", "übernimmt": "übernehmen", "trifft": "", "fängt": "fangen", "schlägt": "schlagen",
    "sieht": "sehen", "übergibt": "übergeben", "bespricht": "besprechen", "entwirft": "entwerfen", "tut": "tun",
    "überträgt": "übertragen",
}  # fmt: skip


def _finite_forms() -> dict[str, str]:
    """Maps the first and third person of the verbs to their infinitive."""
    forms = dict(_IRREGULAR)
    for verb in _INFINITIVES:
        stem = verb[:-2] if verb.endswith("en") else verb[:-1]
        forms.setdefault(stem + ("et" if stem[-1] in "dt" or stem.endswith(("chn", "ffn")) else "t"), verb)
        forms.setdefault(stem + "e", verb)
        forms.setdefault(verb, verb)
    return forms


_FINITE = _finite_forms()
_MODALS = word_set("wird werde werden soll sollen sollte sollten muss musst müssen möchte will wollen darf")
_CLAIMING = _FINITE.keys() | _MODALS
_NO_DUTY = word_set("möchte will wollen darf")
_GROUPS = "Agentur|Team|Kunde|Kundin|Lieferant|Firma|Vermieter|Bank|Technik|Vertrieb|Buchhaltung|Personalabteilung|IT"
_GROUP = re.compile(rf"[Dd](?:ie|er|as) (?:{_GROUPS})")
_WHO = rf"(?P<who>(?:{_GROUP.pattern}|{NAMES}|ich|Ich|wir|Wir|er|Er|jemand|Jemand|[Aa]lle))"
SPLIT = re.compile(rf"(?:;|,? und|,? aber|,) (?=(?:{NAME}|ich|wir) (?:{'|'.join(sorted(_CLAIMING))})\b)")
UNREAL = re.compile(
    r"^(?:wenn|falls|sofern|sollte[n]? (?:der|die|das|es))\b|, (?:wenn|falls|sofern) (?!möglich|nötig)"
    r"|\b(?:würden?|könnten?|vielleicht|eventuell|evtl\.?|müssten?|dürften?|hätten?|womöglich)\b",
    re.IGNORECASE,
)
POLITE = re.compile(r"\b(?:könntest du|könnten sie|könntet ihr|würdest du|würden sie|wenn möglich)\b", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:nicht|kein(?:e[nmrs]?)?|nie|niemand|nichts)\b", re.IGNORECASE)
_NOT_FORGET = re.compile(r"\bnicht (?:vergessen|nur)\b|\bvergiss nicht\b,?", re.IGNORECASE)
DONE = re.compile(r"^(?:erledigt|fertig)\b\W|[-–—:(✓✅]\s*(?:erledigt|fertig|abgeschlossen)\W*$|~~", re.IGNORECASE)
_OPENING = re.compile(
    r"^(?:(?:ok(?:ay)?|gut|super|klar|ja|also|dann|danach|außerdem|und|aber|zudem|ferner|schließlich|prima|in Ordnung"
    r"|zusätzlich|anschließend)\b[,.]? +)+",
    re.IGNORECASE,
)
_SUBJECT_FIRST = re.compile(rf"^{_WHO} (?P<verb>\w+)\b(?P<rest>.*)$")
_VERB_FIRST = re.compile(rf"\b(?P<verb>\w+) {_WHO}(?P<rest>(?:[\s,.!].*)?)$")
_REQUEST = re.compile(
    rf"^(?:(?P<who>{NAME}),? )?"
    r"(?:kannst du|könntest du|würdest du|können sie|könnten sie|würden sie|könnt ihr|könntet ihr)"
    rf"(?:, (?P<inner>{NAME}),)?(?P<task> .+)$",
    re.IGNORECASE,
)
_PLEASE = re.compile(rf"^(?:(?P<who>{NAME}),? )?(?P<before>.*?),?\s*\b[Bb]itte\b(?P<after>.*)$")
_PASSIVE = re.compile(r"^(?!Es\b|es\b).+ (?:muss|müssen) (?:noch )?.*\w(?:t|en) werden\W*$")
_RESPONSIBLE = re.compile(rf"^(?P<who>{NAMES}|[Ii]ch) (?:ist|sind|bin) (?:verantwortlich|zuständig) für (?P<task>.+)")
_SUBORDINATE = re.compile(
    r", (?:damit|weil|dass|der|die|das|sonst|aber|denn|um|wenn|falls|sobald|ob|wie|und)\b.*| - .*", re.IGNORECASE
)
_FILLER = re.compile(
    r"^(?:noch|dann|auch|bitte|mal|gleich|jetzt|spätestens|dafür|dazu|also|schon|doch)\b\s*", re.IGNORECASE
)
WHO_QUESTION = re.compile(r"^wer (?P<task>.+)\?$", re.IGNORECASE)
ACCEPTS = re.compile(
    r"^(?:ja|klar|gerne?|okay|ok|mach[e]? ich|übernehme ich|in ordnung|kein problem)\b|\bich (?:mache|übernehme) das\b",
    re.IGNORECASE,
)


def claims(clause: str, *, listed: bool, dated: bool) -> Iterator[Claim]:
    """The task in `clause`, whose date is cut out. `listed`: it is in a list of tasks; `dated`: it had a date."""
    clause = _OPENING.sub("", clause).strip()
    clause = _NOT_FORGET.sub("", clause)
    if UNREAL.search(POLITE.sub("", clause)) or _NEGATED.search(_SUBORDINATE.sub("", clause)):
        return
    for reading in (_requested, _claimed, _stated):
        if claim := reading(clause, listed, dated):
            yield claim
            return


def _requested(clause: str, listed: bool, dated: bool) -> Claim | None:
    if match := _REQUEST.match(clause):
        task, who = re.sub(r"^(?: bitte| mal| noch)+", "", match["task"]).strip(" ?!."), match["who"] or match["inner"]
        if called := re.search(rf", (?P<who>{NAME})$", task):
            task, who = task[: called.start()], who or called["who"]
        return Claim(named(who) if who else None, task)
    if clause.endswith("?") or not (match := _PLEASE.match(clause)):
        return None
    task = f"{match['before']} {match['after'].lstrip(' ,')}".strip()
    if len(task.split()) < 2 or re.match(r"(?:beachte|entschuldig|wende)", task, re.IGNORECASE):
        return None
    return Claim(named(match["who"]) if match["who"] else None, task)


def _claimed(clause: str, listed: bool, dated: bool) -> Claim | None:
    if match := _RESPONSIBLE.match(clause):
        return Claim(
            SPEAKER if match["who"] in ("ich", "Ich") else named(match["who"]),
            f"sich um {match['task'].strip(' .!;')} kümmern",
        )
    if clause.endswith("?"):
        return None
    starts = [word.start() for word in re.finditer(r"\b\w+", clause) if word.group().lower() in _CLAIMING]
    for match in (_SUBJECT_FIRST.match(clause), *(_VERB_FIRST.match(clause, start) for start in starts)):
        if match and (claim := _claim(match, clause[: match.start()], listed=listed, dated=dated)):
            return claim
    return None


def _claim(match: re.Match[str], before: str, *, listed: bool, dated: bool) -> Claim | None:
    """The claim of a verb with the subject beside it; the text before both is part of the task."""
    verb, who = match["verb"].lower(), match["who"]
    rest = _SUBORDINATE.sub("", match["rest"]).strip(" ,.!;")
    while _FILLER.match(rest):
        rest = _FILLER.sub("", rest, count=1)
    if verb in _MODALS:
        if verb in _NO_DUTY or not _is_infinitive(rest):
            return None
        task = f"{before}{rest}"
    elif (before or rest) and (infinitive := _present(verb, rest)) and _agree(who, verb):
        task = f"{before}{infinitive}"
    else:
        return None
    pronoun = who.lower()
    if pronoun == "ich":
        return Claim(SPEAKER, task)
    if pronoun in ("wir", "er", "jemand"):
        wish = verb in ("sollten", "sollte") or verb not in _MODALS
        return Claim(None, task) if dated or listed or (pronoun != "er" and not wish) else None
    if pronoun == "alle" or _GROUP.fullmatch(who):
        return Claim(who[0].upper() + who[1:], task)
    person = named(who)
    return Claim(person, task) if person else None


def _agree(who: str, verb: str) -> bool:
    """Whether verb and subject agree in number: in "Neue Startseite skizzieren" they do not."""
    plural = " und " in who or " & " in who or who.lower() in ("wir", "alle") or who.startswith("Die ")
    return plural or verb not in _INFINITIVES


def _is_infinitive(rest: str) -> bool:
    """Whether `rest` ends with an infinitive, and not with a participle or an adjective."""
    last = rest.split()[-1] if rest else ""
    return last.endswith(_ENDINGS) or (
        last.endswith(("en", "ern", "eln")) and last[0].islower() and not last.startswith("ge")
    )


def _present(verb: str, rest: str) -> str | None:
    """The task in "holt … Angebote ein": "Angebote einholen"; None if there is none."""
    infinitive = _FINITE.get(verb)
    if infinitive is None:
        return None
    *others, last = rest.split() or [""]
    if last in _PARTICLES:
        infinitive, rest = last + infinitive, " ".join(others)
    elif infinitive in _BASES:
        return None
    rest, reflexive = re.subn(r"^(?:mich|sich|uns)\b ?", "", rest)
    return f"{'sich ' if reflexive else ''}{rest} {infinitive}"


#: Who is to do it, beside what is to be done: "Folien machen (Anna)", "Folien machen – Anna".
_BESIDE = re.compile(rf"\s*\([^)]*\)|\s*(?:\s[-–—|]|->|→|,)\s*{NAME}\W*$|\s*(?<!\w)@[\w-]+\W*$")


def _stated(clause: str, listed: bool, dated: bool) -> Claim | None:
    bare = _BESIDE.sub("", clause).strip(" .!,;")
    last = bare.split()[-1] if bare else ""
    if (
        (listed or dated)
        and last[:1].islower()
        and last.endswith(_ENDINGS)
        and not re.search(r"\b(?:wir|sie|haben|sind|wurden?|zu)\b", bare)
    ):
        return Claim(None, clause, sure=False)
    if _PASSIVE.match(clause):
        return Claim(None, clause)
    return None


def task_of_question(question: str) -> str | None:
    """The task in "macht die Flyer", of "Wer macht die Flyer?": "die Flyer machen"."""
    verb, _, rest = question.partition(" ")
    return _present(verb.lower(), rest) if rest else None
