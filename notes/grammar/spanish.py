"""Finds tasks in Spanish sentences."""

import re
from collections.abc import Iterator

from notes.grammar.claim import NAME, NAMES, SPEAKER, Claim, named
from notes.languages import word_set

VERBS = word_set(
    "acabar aceptar actualizar adaptar agendar ajustar alquilar ampliar analizar anotar anular apuntar archivar "
    "arreglar asignar avisar ayudar borrar buscar calcular cambiar cancelar cerrar citar comentar comparar completar "
    "comprar comprobar comunicar concertar confirmar conseguir consultar contactar contar contestar contratar "
    "convocar coordinar copiar corregir crear decidir definir devolver diseñar distribuir documentar elaborar elegir "
    "eliminar encargar entregar enviar escribir estudiar evaluar explicar exportar facturar fijar firmar formar "
    "gestionar grabar guardar hablar hacer importar imprimir informar instalar introducir investigar invitar lanzar "
    "leer limpiar llamar llevar mandar medir mejorar migrar mirar mover negociar ordenar organizar pagar pasar pedir "
    "planificar poner preguntar preparar presentar presupuestar probar programar proponer publicar quitar recoger "
    "recordar redactar reenviar reparar repasar reservar resolver responder revisar rellenar renovar solicitar subir "
    "terminar traducir traer tramitar valorar vender verificar visitar"
)
_IRREGULAR = {
    "envío": "enviar", "envía": "enviar", "pido": "pedir", "pide": "pedir", "hago": "hacer", "hace": "hacer",
    "pongo": "poner", "pone": "poner", "traigo": "traer", "trae": "traer", "corrijo": "corregir", "corrige": "corregir",
    "cierro": "cerrar", "cierra": "cerrar", "compruebo": "comprobar", "comprueba": "comprobar", "pruebo": "probar",
    "prueba": "probar", "recojo": "recoger", "consigo": "conseguir", "consigue": "conseguir", "resuelvo": "resolver",
    "resuelve": "resolver", "devuelvo": "devolver", "devuelve": "devolver", "elijo": "elegir", "elige": "elegir",
    "propongo": "proponer", "propone": "proponer", "traduzco": "traducir", "amplío": "ampliar", "amplía": "ampliar",
}  # fmt: skip
_FUTURE = {"har": "hacer", "pondr": "poner", "dir": "decir", "saldr": "salir", "propondr": "proponer", "vendr": "venir"}
_STATES = word_set(
    "ser estar tener haber poder ir costar llegar venir subir bajar empezar durar seguir quedar faltar valer crecer "
    "aumentar disminuir caer querer saber ver parecer deber gustar esperar servir"
)


def _present_forms() -> dict[str, str]:
    """Maps the first and third person of the verbs to their infinitive."""
    forms = dict(_IRREGULAR)
    for verb in VERBS:
        forms.setdefault(verb[:-2] + "o", verb)
        forms.setdefault(verb[:-2] + ("a" if verb.endswith("ar") else "e"), verb)
    return forms


_PRESENT = _present_forms()
_GROUPS = "agencia|equipo|cliente|proveedor|banco|junta|empresa|gestoría"
_CLITIC = r"(?P<clitic>(?i:(?:me|te|se|lo|la|los|las|le|les|nos|os) ){0,2})"
_WHO = (
    rf"(?P<who>(?!(?:Me|Te|Se|Lo|La|Los|Las|Le|Les|Nos|Os) ){NAMES}|(?:[Ee]l|[Ll]a) (?:{_GROUPS})"
    r"|[Yy]o|[Aa]lguien|[Tt]odos)"
)
_DUTY = (
    r"(?P<duty>(?i:va a|van a|voy a|tiene que|tienen que|tengo que|debe|deben|debo|debería|deberían|ha de|han de"
    r"|necesita|queda en|quedó en|se compromete a|se comprometió a|me comprometo a))"
)
_CARE = r"(?:se|me) (?:encarg|ocup|encargar|ocupar)(?:a|o|á|é|an|án) (?P<of>del? )"
_INFINITIVE = r"[^\W\d_]+(?:[aei]r|ír)(?:(?:me|te|se|nos|os)?(?:l[aeo]s?)?)?"
SPLIT = re.compile(
    rf"(?:;|,? y|,? e|,? pero|,) (?=(?:{NAMES}|yo) (?:[a-zñáéíóú]+rán?|va a|tiene que|debe|se encarga)\b)"
)
UNREAL = re.compile(
    r"^(?:si|en caso de|cuando)\b|, (?:si|en caso de)\b (?!es posible)"
    r"|\b(?:quizás?|tal vez|a lo mejor|podría[ns]?|habría[ns]?|[a-zñ]+aríamos|sería|puede que|ojalá)\b",
    re.IGNORECASE,
)
POLITE = re.compile(r"\b(?:podrías|podría usted|podríais|si es posible)\b", re.IGNORECASE)
DONE = re.compile(
    r"^(?:hecho|terminado|listo)\b\W|[-–—:(✓✅]\s*(?:hecho|hecha|terminado|listo|completado)\W*$|~~", re.IGNORECASE
)
_OPENING = re.compile(
    r"^(?:(?:vale|bien|perfecto|claro|sí|entonces|además|también|y|pero|luego|después|por último|bueno|ok|de acuerdo"
    r"|genial|finalmente)\b[,.]? +)+",
    re.IGNORECASE,
)
_FUTURE_CLAIM = re.compile(
    rf"(?:^|(?<=que )|(?<=, ))(?:{_WHO} )?{_CLITIC}(?P<stem>[^\W\d_]+r)(?P<ending>á|án|é)\b(?P<rest>.*)$"
)
_DUTY_CLAIM = re.compile(rf"(?:^|(?<=que )|(?<=, ))(?:{_WHO} )?(?:también )?{_DUTY} (?P<task>{_INFINITIVE}\b.*)$")
_CARE_CLAIM = re.compile(rf"(?:^|(?<=que )|(?<=, ))(?:{_WHO} )?(?:también )?{_CARE}(?P<task>.+)$", re.IGNORECASE)
_NEEDED = re.compile(
    r"^(?:también )?(?:hay que|se debe|se tiene que|tenemos que|debemos|necesitamos|falta|queda por|es necesario"
    rf"|hace falta) (?P<task>{_INFINITIVE}\b.*)$",
    re.IGNORECASE,
)
_PRESENT_CLAIM = re.compile(rf"^{_WHO} {_CLITIC}(?P<verb>[^\W\d_]+)(?P<rest> .*)$")
_REQUEST = re.compile(
    rf"^(?:(?P<who>{NAME}), )?¿?(?:puedes|podrías|podéis|podríais|puede usted|podría usted)(?:, (?P<inner>{NAME}),)?"
    rf"(?P<task> {_INFINITIVE}\b.*)$",
    re.IGNORECASE,
)
_PLEASE = re.compile(rf"^(?:(?P<who>{NAME}),? )?(?P<before>.*?),?\s*\b[Pp]or favor\b,?(?P<after>.*)$")
_REMEMBER = re.compile(
    rf"^(?:no olvid(?:ar|es|éis|emos)|record(?:ar|ad|emos)|recuerda) (?P<task>{_INFINITIVE}\b.*)$", re.IGNORECASE
)
_LISTED = re.compile(rf"^(?P<verb>{_INFINITIVE})\b .+", re.IGNORECASE)
_NOUNS = word_set("lugar ayer bar hogar taller alquiler mujer mar par hangar color calor valor motor lar militar")
_SUBORDINATE = re.compile(
    r",? (?:porque|para que|ya que|si no|aunque|pero)\b.*|, (?:que|quien)\b.*| - .*", re.IGNORECASE
)
WHO_QUESTION = re.compile(r"^¿quién (?P<task>.+)\?$", re.IGNORECASE)
ACCEPTS = re.compile(
    r"^(?:sí|claro|vale|de acuerdo|ok|por supuesto|hecho|me encargo)\b|\bl[oa]s? \w+ yo\b"
    r"|\byo (?:me encargo|l[oa]s? \w+)\b",
    re.IGNORECASE,
)


def claims(clause: str, *, listed: bool, dated: bool) -> Iterator[Claim]:
    """The task in `clause`, whose date is cut out. `listed`: it is in a list of tasks; `dated`: it had a date."""
    clause = _OPENING.sub("", clause).strip()
    if UNREAL.search(POLITE.sub("", clause)):
        return
    for reading in (_requested, _claimed, _stated):
        if claim := reading(clause, listed, dated):
            yield claim
            return


def _requested(clause: str, listed: bool, dated: bool) -> Claim | None:
    if match := _REQUEST.match(clause) or _REMEMBER.match(clause):
        groups = match.groupdict()
        task, who = match["task"].strip(" ?!."), groups.get("who") or groups.get("inner")
        if called := re.search(rf", (?P<who>{NAME})$", task):
            task, who = task[: called.start()], who or called["who"]
        return Claim(named(who) if who else None, task)
    if clause.endswith("?") or not (match := _PLEASE.match(clause)):
        return None
    task = f"{match['before']} {match['after'].lstrip(' ,')}".strip()
    return Claim(named(match["who"]) if match["who"] else None, task) if len(task.split()) > 1 else None


def _claimed(clause: str, listed: bool, dated: bool) -> Claim | None:
    if clause.endswith("?"):
        return None
    if (match := _NEEDED.match(clause)) and not match["task"].startswith(("hablar de", "ser ", "estar ")):
        return Claim(None, _SUBORDINATE.sub("", match["task"]))
    if match := _CARE_CLAIM.search(clause):
        speaker = match.group().lower().lstrip("yo ").startswith("me ")
        task = (
            match["task"]
            if re.match(rf"{_INFINITIVE}\b", match["task"])
            else f"encargarse {match['of']}{match['task']}"
        )
        return _claim(match["who"], task, speaker=speaker)
    if match := _DUTY_CLAIM.search(clause):
        speaker = match["duty"].lower() in ("voy a", "tengo que", "debo", "me comprometo a")
        verb = match["task"].split()[0]
        return None if verb in _STATES else _claim(match["who"], match["task"], speaker=speaker)
    if match := _FUTURE_CLAIM.search(clause):
        verb = _FUTURE.get(match["stem"].lower(), match["stem"].lower())
        if verb in _STATES or not verb.endswith(("ar", "er", "ir")):
            return None
        return _claim(match["who"], _with(verb, match), speaker=match["ending"] == "é")
    return None


def _with(verb: str, match: re.Match[str]) -> str:
    """The infinitive with its pronouns and what follows: "enviárselo mañana"."""
    pronouns = match["clitic"].lower().split()
    if len(pronouns) == 2:
        verb = verb[:-2] + {"a": "á", "e": "é"}.get(verb[-2], "í") + verb[-1]
    return verb + "".join(pronouns) + match["rest"]


def _claim(who: str | None, task: str, *, speaker: bool) -> Claim | None:
    task = _SUBORDINATE.sub("", task)
    if speaker:
        return Claim(SPEAKER, task)
    if who is None:
        return None
    if who.lower() == "alguien":
        return Claim(None, task)
    if who.lower().startswith(("el ", "la ", "todos")):
        return Claim(who[0].upper() + who[1:], task)
    person = named(who)
    return Claim(person, task) if person else None


def _stated(clause: str, listed: bool, dated: bool) -> Claim | None:
    if clause.endswith("?"):
        return None
    if (match := _PRESENT_CLAIM.match(clause)) and (verb := _PRESENT.get(match["verb"].lower())):
        speaker = match["who"].lower() == "yo"
        if speaker or listed or dated:
            return _claim(match["who"], _with(verb, match), speaker=speaker)
    if (listed or dated) and (match := _LISTED.match(clause)) and match["verb"].lower() not in _NOUNS:
        return Claim(None, clause, sure=False)
    return None


def task_of_question(question: str) -> str | None:
    """The task in "mira el contrato", of "¿Quién mira el contrato?": "mirar el contrato"."""
    verb, _, rest = question.partition(" ")
    return f"{_PRESENT[verb.lower()]} {rest}" if verb.lower() in _PRESENT else None
