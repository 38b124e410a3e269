"""Finds tasks in English sentences."""

import re
from collections.abc import Iterator

from notes.grammar.claim import NAME, NAMES, SPEAKER, Claim, named
from notes.languages import word_set

VERBS = word_set(
    "add adjust adopt align analyse analyze announce answer append approve archive arrange ask assemble assign "
    "attach audit back block book bring build buy calculate call cancel change chase check circulate clarify clean "
    "clear close collect compare compile complete confirm configure connect contact convert coordinate copy create "
    "cut debug decide define delete deliver deploy describe design determine develop discuss distribute document "
    "download draft draw drop edit email enable escalate estimate evaluate examine export extend file fill finalise "
    "finalize find finish fix follow forward gather generate get give handle hand hire host identify implement "
    "import improve inform inspect install integrate interview introduce investigate invite invoice issue join "
    "launch list log look mail maintain make manage map measure merge message migrate monitor move negotiate notify "
    "obtain offer open order organise organize outline pay phone pick ping plan post postpone prepare present print "
    "process procure propose provide publish purchase push put raise reach read rebuild recruit redo refactor "
    "refund register reject release remind remove rename renew repair replace reply report request research "
    "reschedule reserve resolve respond restore return review revise rewrite ring roll rotate run save schedule "
    "search secure select sell send set share ship shorten show sign sort specify start store submit summarise "
    "summarize supply switch sync take talk tell test tidy train transfer translate try turn update upgrade upload "
    "verify visit warn write"
)
_STATES = word_set(
    "be have need cost rise grow increase decrease fall drop end continue remain stay happen come arrive go like want "
    "know see become depend expire last cover mean hear think guess say agree believe love hate hope feel seem look "
    "leave wait enjoy miss imagine mind understand win lose rain pass"
)
_NO_REQUESTS = word_set("note find tell see let not")  # "please find attached", "can you tell me"
_NOT = word_set("not never no probably likely")
_NO_SUBJECTS = word_set(  # before "to": "Tom tried to …", "Time to …", "Ready to …"
    "was were had tried tries forgot failed used likes liked loves loved hopes hoped plans planned decided refused "
    "seems seemed meant began started wants wanted wishes wished prefers managed came went stopped asked asks able "
    "unable try trying going looking need want time ready easy hard nice happy glad good great important necessary "
    "possible chance way nothing something anything lots"
)
_GROUPS = "agency|team|client|customer|vendor|supplier|board|committee|group|office|department|company|landlord|bank"
_WHO = (
    rf"(?P<who>(?:{NAME}|[Tt]he) (?:{_GROUPS})|{NAMES}|[Ee]veryone|[Ee]verybody|[Ss]omeone|[Ss]omebody|I"
    r"|[Ww]e|[Hh]e|[Ss]he|[Tt]hey)"
)
_START = r"(?:^|(?<=[,;:–—-] )|(?<=\band )|(?<=\bthat )|(?<=\bbut )|(?<=\bso )|(?<=\bwhile ))"
_MODAL = (
    r"(?P<modal> will|['’]ll| shall| should| must| (?:is|are|am) going to|['’](?:s|m|re) going to|"
    r" (?:has|have|needs?) to| (?:is|are|am)(?: supposed| expected| due)? to|"
    r" (?:agreed|promised|offered|volunteered|undertook|committed) to)"
)
_ADVERBS = r"(?: (?:also|then|still|now|just|please|definitely|quickly|first|both|each|all|again|therefore|kindly))*"
_TASK = r" (?P<verb>[a-z][\w-]*)(?P<rest>.*)"

SPLIT = re.compile(
    rf"(?:;|,? and|,? but|, while) (?=(?:{NAMES}|I|we|the (?:{_GROUPS}))"
    r"(?: will|['’]ll| has to| needs to| must| is going to)\b)"
)
UNREAL = re.compile(
    r"^(?:if|in case|unless|suppose|assuming)\b|\b(?:would|might|could have|should have|maybe|perhaps|unless)\b"
    r"|[ ,](?:if|in case) (?!possible|needed|necessary)",
    re.IGNORECASE,
)
POLITE = re.compile(r"\b(?:would|could|can|will) (?:you|some|any)", re.IGNORECASE)
DONE = re.compile(r"^(?:done|completed|closed)\b\W|[-–—:(✓✅]\s*(?:done|completed|closed)\W*$|~~", re.IGNORECASE)
_OPENING = re.compile(
    r"^(?:(?:ok(?:ay)?|great|fine|yes|yeah|sure|good|perfect|nice|well|so|then|and|also|but|finally|agreed|no problem"
    r"|as discussed|in addition|additionally|in the meantime|meanwhile|afterwards)\b[,.]? +)+",
    re.IGNORECASE,
)
_CLAIM = re.compile(rf"{_START}{_WHO}{_MODAL}{_ADVERBS}{_TASK}")
_REQUEST = re.compile(
    rf"^(?:(?P<who>{NAME}),? )?(?:(?:can|could|would|will) you|(?:can|could) (?:some|any)(?:one|body))"
    rf"(?:, (?P<inner>{NAME}),)?(?: (?:please|maybe|also|all|both|kindly))*{_TASK}",
    re.IGNORECASE,
)
_PLEASE = re.compile(rf"^(?:(?P<who>{NAME}),? )?(?:and )?(?i:please|pls|plz)(?: also)?{_TASK}")
_REMEMBER = re.compile(rf"^(?:remember|do not forget|don['’]t forget|make sure|be sure) to{_TASK}", re.IGNORECASE)
_CALLED = re.compile(rf"^(?P<who>{NAME}),(?: and)?{_TASK}")
_TO = re.compile(rf"^(?P<who>{NAMES}|(?:all |the )?[\w-]+(?: [\w-]+)?) to{_ADVERBS}{_TASK}")
_PRESENT = re.compile(rf"^(?P<who>(?:{NAME}|[Tt]he) (?:{_GROUPS})|{NAMES}){_ADVERBS}{_TASK}")
_IN_CHARGE = re.compile(rf"{_START}(?P<who>{NAMES}) (?:is|are|will be) (?:responsible for|in charge of)(?P<task> .+)")
_IMPERATIVE = re.compile(r"^(?P<verb>[A-Za-z][\w-]*)(?P<rest> .+)")
_BECAUSE = re.compile(
    r",? (?:otherwise|because|since|so that|as soon as|in order to)\b.*|, (?:but|so)\b.*|, (?:which|who)\b[^,]*$| - .*"
)
WHO_QUESTION = re.compile(r"^who(?:['’]ll|['’]s going to| will| can| could)? (?P<task>.+)\?$", re.IGNORECASE)
ACCEPTS = re.compile(
    r"^(?:sure|yes|yep|yeah|ok|okay|will do|on it|no problem|of course|happy to|fine)\b|\bi(?:['’]ll| can| will)"
    r" (?:do|take) (?:it|that|this)\b",
    re.IGNORECASE,
)


def claims(clause: str, *, listed: bool, dated: bool) -> Iterator[Claim]:
    """The task in `clause`, whose date is cut out. `listed`: it is in a list of tasks; `dated`: it had a date."""
    clause = _OPENING.sub("", clause)
    if UNREAL.search(POLITE.sub("", clause)):
        return
    for reading in (_requested, _claimed, _stated):
        if claim := reading(clause, listed, dated):
            yield claim
            return


def _requested(clause: str, listed: bool, dated: bool) -> Claim | None:
    match = _REQUEST.match(clause) or _PLEASE.match(clause) or _REMEMBER.match(clause)
    if match is None or match["verb"].lower() in _STATES | _NO_REQUESTS:
        return None
    groups = match.groupdict()
    task, who = match["verb"] + match["rest"], groups.get("who") or groups.get("inner")
    if called := re.search(rf",(?: and)? (?P<who>{NAME})\W*$", task):
        task, who = task[: called.start()], who or called["who"]
    return Claim(named(who) if who else None, task)


def _claimed(clause: str, listed: bool, dated: bool) -> Claim | None:
    if charged := _IN_CHARGE.search(clause):
        return Claim(named(charged["who"]), f"take care of{charged['task']}")
    match = _CLAIM.search(clause)
    if not match or clause.endswith("?") or match["verb"].lower() in _STATES | _NOT:
        return None
    who, task = match["who"], _BECAUSE.sub("", match["verb"] + match["rest"])
    if who == "I":
        return Claim(SPEAKER, task)
    if who.lower() in ("we", "he", "she", "they"):
        modal = match["modal"].strip()
        decided, wish = modal.startswith(("agreed", "committed")), modal == "should"
        binding = match["verb"] in VERBS - {"talk", "discuss"} and not decided and (dated or listed or not wish)
        return Claim(None, task) if binding else None
    if who.lower() in ("someone", "somebody"):
        return Claim(None, task)
    person = _person(who)
    return Claim(person, task) if person else None


def _stated(clause: str, listed: bool, dated: bool) -> Claim | None:
    if clause.endswith("?"):
        return None
    if (match := _CALLED.match(clause)) and match["verb"] in VERBS and (person := named(match["who"])):
        return Claim(person, _BECAUSE.sub("", match["verb"] + match["rest"]))
    if (
        (match := _TO.match(clause))
        and (dated or match["verb"] in VERBS)
        and (listed or match["who"][0].isupper())
        and match["who"].split()[-1].lower() not in _NO_SUBJECTS
    ):
        person = _person(match["who"])
        return Claim(person, match["verb"] + match["rest"]) if person else None
    if (listed or dated) and (match := _PRESENT.match(clause)) and (verb := _infinitive(match["verb"])):
        person = _person(match["who"])
        return Claim(person, verb + match["rest"]) if person else None
    if (match := _IMPERATIVE.match(clause)) and match["verb"].lower() in VERBS and (listed or dated):
        return Claim(None, clause, sure=False)
    return None


def _person(who: str) -> str | None:
    if who.lower().startswith(("the ", "all ", "every")):
        return who[0].upper() + who[1:]
    return named(who)


def _infinitive(verb: str) -> str | None:
    """The infinitive of a third person such as "informs"; None if it is not one of `VERBS`."""
    if not verb.endswith("s"):
        return None
    forms = (verb[:-1], verb[:-2], verb[:-3] + "y")
    return next((form for form in forms if form in VERBS), None)


def task_of_question(question: str) -> str | None:
    """The task in "does the flyers", of "Who does the flyers?": "do the flyers"."""
    verb, _, rest = question.partition(" ")
    infinitive = verb if verb in VERBS else {"does": "do", "do": "do"}.get(verb) or _infinitive(verb)
    return f"{infinitive} {rest}" if infinitive else None
