"""When something is due: relative and absolute dates in English, German and Spanish, read against a `now`.

Conventions, all in UTC. A day means 17:00 of it, the end of its working day (23:59 where that has passed today); a
morning and noon mean 12:00; a time of day means itself. "Before" a day means its 00:00. A week means its Friday, a
month its last day, its middle the 15th, its beginning the 7th. A weekday is the coming one, never today; "next Friday"
and "nächsten Freitag" are those of the next calendar week, "el próximo viernes" and "kommenden Freitag" the coming
ones. In 3/4 the month comes first in English, the day elsewhere. A day without a year is this year's, or next
year's when it lies more than 90 days back. What lies in the past is no due date.
"""

import calendar
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from notes.languages import MONTHS, NUMBERS, WEEKDAYS

END_OF_DAY = time(17)
_LAST_MINUTE = time(23, 59)
_NOON = time(12)
_LONG_AGO = timedelta(days=90)
_MOST_DAYS = 20  # days read in one sentence


@dataclass(frozen=True, slots=True)
class Due:
    """A due date, and its place in the text: text[start:end], with its preposition."""

    at: datetime
    start: int
    end: int
    deadline: bool  # the text has a word such as "by" or "before"


def find_due(text: str, now: datetime, *, language: str = "en") -> Due | None:
    """The due date in a sentence, if it is after `now`: its first deadline, else the date it begins or ends with."""
    if not _SOMETHING_DATED.search(text):
        return None
    now = now.astimezone(UTC)
    dates = [due for due in _all_dates(text, now, month_first=language == "en") if due.at > now]
    deadline = next((due for due in dates if due.deadline), None)
    if deadline or not dates:
        return deadline
    return dates[0] if dates[0].start == 0 else dates[-1]


# Patterns of days. Each reading takes the groups of its pattern, and raises ValueError or OverflowError if there is no
# such day.

Groups = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class _Reader:
    today: date
    month_first: bool

    def iso(self, groups: Groups) -> date:
        return date.fromisoformat(groups["iso"] or "")

    def numbers(self, groups: Groups) -> date:
        day, month = int(groups["day"] or 0), int(groups["number"] or 0)
        if groups.get("slash") and ((self.month_first and day <= 12) or month > 12):
            day, month = month, day
        return self._dated(day, month, groups["year"])

    def named(self, groups: Groups) -> date:
        return self._dated(int(groups["day"] or 0), _month_number(groups), groups["year"])

    def christmas(self, groups: Groups) -> date:
        return self._dated(25, 12, None)

    def _dated(self, day: int, month: int, year: str | None) -> date:
        if year:
            return date(int(year) + (2000 if len(year) == 2 else 0), month, day)
        this_year = date(self.today.year, month, day)
        return this_year if this_year >= self.today - _LONG_AGO else date(self.today.year + 1, month, day)

    def relative(self, groups: Groups) -> date:
        return self.today + timedelta(days=2 if groups["overmorrow"] else 1 if groups["tomorrow"] else 0)

    def weekday(self, groups: Groups) -> date:
        weekday = WEEKDAYS[(groups["weekday"] or "").lower()]
        if groups["next"] or groups["week_after"]:
            return self._monday() + timedelta(days=7 + weekday)
        return self.today + timedelta(days=(weekday - self.today.weekday() - 1) % 7 + 1)

    def _monday(self) -> date:
        return self.today - timedelta(days=self.today.weekday())

    def span(self, groups: Groups) -> date:
        count = _number(groups["count"] or "")
        if groups["months"]:
            year, month = divmod(self.today.year * 12 + self.today.month - 1 + count, 12)
            return date(year, month + 1, min(self.today.day, calendar.monthrange(year, month + 1)[1]))
        if not groups["working"]:
            return self.today + timedelta(days=count * (7 if groups["weeks"] else 1))
        day = self.today
        for _ in range(count):
            day += timedelta(days=1 if day.weekday() < 4 else 7 - day.weekday())
        return day

    def week(self, groups: Groups) -> date:
        if groups.get("next"):
            return self._monday() + timedelta(days=11)
        friday = self._monday() + timedelta(days=4)
        return friday if friday >= self.today else friday + timedelta(days=2)

    def month(self, groups: Groups) -> date:
        month = _month_number(groups) if groups.get("month") else self.today.month + bool(groups.get("next"))
        year = int(groups.get("year") or self.today.year + (month < self.today.month or month > 12))
        month = (month - 1) % 12 + 1
        if groups.get("middle"):
            return date(year, month, 15)
        return date(year, month, 7) if groups.get("beginning") else _last_of(year, month)

    def quarter_or_year(self, groups: Groups) -> date:
        return _last_of(
            self.today.year, (self.today.month + 2) // 3 * 3 if groups["quarter"] or groups["quarterly"] else 12
        )

    def day_of_month(self, groups: Groups) -> date:
        day = int(groups["day"] or groups["day_after"] or 0)
        later = self.today.month + (day < self.today.day)
        return date(self.today.year + later // 13, (later - 1) % 12 + 1, day)


def _month_number(groups: Groups) -> int:
    return MONTHS[(groups["month"] or "").lower()]


def _number(word: str) -> int:
    return int(word) if word.isdigit() else NUMBERS[word.lower()]


def _last_of(year: int, month: int) -> date:
    return date(year, month, calendar.monthrange(year, month)[1])


def _one_of(names: Iterable[str], shortest: int = 1) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if len(name) >= shortest)


_MONTH = rf"(?P<month>{_one_of(MONTHS.keys() - {'may'})}|(?-i:May))\b\.?"
_YEAR = r"(?:,? (?:de |del )?(?P<year>20\d\d)\b)?"
_DAY = r"(?P<day>\d{1,2})"
_WEEKDAY = (
    rf"{_one_of(WEEKDAYS, 5)}|(?-i:Mon|Tues?|Wed|Thu|Fri|Sat|Sun|(?:(?<=\bam )|(?<=\bbis ))(?:Mo|Di|Mi|Do|Fr|Sa|So)\b)"
)
_NEXT = "next|nächste[nrms]?"
_COMING = "this coming|coming|this|upcoming|kommende[nrms]?|diese[nrms]?|pr[óo]xim[oa]s?|este|esta"
_NEXT_WEEK = (
    r"next week|(?:der )?(?:nächste[rn]?|kommende[rn]?) woche|(?:la )?pr[óo]xima semana|(?:la )?semana que viene"
)
_NEXT_MONTH = r"next month|(?:nächste[ns]?|kommende[ns]?) monats?|(?:el )?pr[óo]ximo mes|(?:el )?mes que viene"
_END = r"(?:the )?end of (?:the )?|ende (?:der |des )?|(?:a )?fin(?:al|ales|es)? de(?:l| la)? "
_MIDDLE = r"mid[ -]|(?:the )?middle of (?:the )?|mitte (?:der |des )?|(?:a )?mediados de(?:l)? "
_BEGINNING = r"early |(?:the )?(?:beginning|start) of (?:the )?|anfang (?:der |des )?|(?:a )?principios de(?:l)? "
_PART = rf"(?:{_END}|(?P<middle>{_MIDDLE})|(?P<beginning>{_BEGINNING}))"

_READINGS: list[tuple[re.Pattern[str], Callable[[_Reader, Groups], date]]] = [
    (re.compile(rf"(?<![\w.:/-])(?:{pattern})(?!\w)", re.IGNORECASE), read)
    for pattern, read in [
        (r"(?P<iso>20\d\d-\d\d-\d\d)", _Reader.iso),
        (rf"{_DAY}\.\s?(?P<number>\d{{1,2}})\.(?:\s?(?P<year>20\d\d|\d\d(?![.:\d])))?", _Reader.numbers),
        (rf"{_DAY}(?P<slash>/)(?P<number>\d{{1,2}})(?:/(?P<year>20\d\d|\d\d))?(?!/)", _Reader.numbers),
        (rf"{_DAY}(?:st|nd|rd|th|\.|º)?(?: of| de)? {_MONTH}{_YEAR}", _Reader.named),
        (rf"{_MONTH} (?:the )?{_DAY}(?:st|nd|rd|th)?(?![.,:]?\d|\s?[%€$]){_YEAR}", _Reader.named),
        (r"christmas|weihnachten|navidad(?:es)?", _Reader.christmas),
        (
            r"(?P<overmorrow>(?:the )?day after tomorrow|übermorgen|pasado mañana)"
            r"|(?P<tomorrow>tomorrow|(?<!guten )(?<!am )(?<!jeden )morgen|(?<!la )(?<!esta )mañana)"
            r"|today|tonight|this (?:afternoon|evening|morning)|heute|hoy|esta (?:tarde|noche)",
            _Reader.relative,
        ),
        (
            rf"(?:(?:(?P<next>(?:{_NEXT_WEEK})(?:,? (?:on|am|el))?|{_NEXT})|{_COMING}) )?(?P<weekday>{_WEEKDAY})\b\.?"
            rf"(?P<week_after>(?: of| de)? (?:{_NEXT_WEEK}))?(?: que viene| pr[óo]ximo)?(?!['’]s\b| pasado)",
            _Reader.weekday,
        ),
        (
            r"(?:in|within|en|dentro de|innerhalb(?: von)?|binnen)(?: the| den| las| los| der)?"
            rf"(?: next| nächsten| kommenden| pr[óo]xim[oa]s)? (?P<count>\d{{1,2}}|{_one_of(NUMBERS)}) "
            r"(?:(?P<working>working |business |werk|arbeits)?(?:days?|tage?n?|días?)"
            r"|(?P<weeks>weeks?|wochen?|semanas?)|(?P<months>months?|monate?n?|mes(?:es)?))",
            _Reader.span,
        ),
        (
            rf"(?:{_END})?(?:(?P<next>{_NEXT_WEEK})|this week|(?:dieser?|der) woche|esta semana)"
            rf"|(?:{_END})(?:week|woche|semana)",
            _Reader.week,
        ),
        (rf"monatsende|{_PART}?(?:(?P<next>{_NEXT_MONTH})|this month|diese[ns]? monats?|este mes)", _Reader.month),
        (rf"{_PART}(?:month|monats?|mes|{_MONTH}{_YEAR})", _Reader.month),
        (
            r"(?:(?<=by )|(?<=before )|(?<=until )|(?<=bis )|(?<=vor )|(?<=hasta )|(?<=antes de )|(?<=im ))"
            rf"{_MONTH}{_YEAR}",
            _Reader.month,
        ),
        (
            rf"(?:{_END})(?:this )?(?:(?P<quarter>quarter|quartals?|trimestre)|year|jahres|año)"
            r"|jahresende|(?P<quarterly>quartalsende)",
            _Reader.quarter_or_year,
        ),
        (rf"{_DAY}(?:st|nd|rd|th)|(?<=zum )(?P<day_after>\d{{1,2}})\.", _Reader.day_of_month),
    ]
]

_SOMETHING_DATED = re.compile(  # most sentences have no date, and trying all readings is slow
    rf"\d|\b(?:{_WEEKDAY}|{_one_of(MONTHS)}|to(?:day|night|morrow)|heute|morgen|übermorgen|hoy|mañana|days?|tage?n?"
    r"|(?:werk|arbeits)tage?n?|días?|week|weeks|wochen?|semanas?|months?|monat\w*|mes|meses|quarter|quartal\w*"
    r"|trimestre|year|jahres\w*|año|this|christmas|weihnachten|navidad(?:es)?|noon|midday|mittags?|mediodía|eod|cob"
    r"|esta (?:tarde|noche)|end of|close of|feierabend)\b",
    re.IGNORECASE,
)

# Patterns of the words before and after a day.

#: Characters before a date that are searched for words that belong to it: more than `_LEAD` can match.
_BEFORE = 60
_ARTICLE = r"(?:(?:the|el|día|la|las|los|dem|den|der) ){0,4}"
_LEAD = re.compile(
    r"\b(?:(?P<before>before|vor|antes del?)"
    r"|(?P<by>(?:no|not) later than|at the latest(?: by| on)?|by|until|till|til|due(?: on| by| date:?)?|deadline:?"
    r"|bis(?: spätestens)?(?: zum| zur| am)?|spätestens(?: bis)?(?: zum| am)?|fällig(?: am)?|frist:?"
    r"|hasta|para|a más tardar|como (?:muy tarde|máximo)|plazo:?)"
    r"|(?P<unrelated>since|from|of|last|after|past|than|to|per|every|each|starting(?: on| in)?|seit|vo[mn]|ab|nach|auf|"
    r"letzte[nrms]?|jede[nrms]?|desde|del?|pasad[oa]|tras|al|cada|a partir de)"
    rf"|(?P<plain>on|in|at|for|am|im|an|für|en|el|este)) {_ARTICLE}$",
    re.IGNORECASE,
)
_BARE_ARTICLE = re.compile(r"\b(?:the|el|la|dem|den|der) $", re.IGNORECASE)
_TIME = (
    r"(?:(?P<hour>[01]?\d|2[0-4])"
    r"(?:(?:[:.](?P<minutes>[0-5]\d))? ?(?:(?P<half>[ap])\.?m\b\.?|uhr\b|o'clock|h\b)|:(?P<minute>[0-5]\d)(?!\d))"
    r"|(?P<noon>noon|midday|mittags?|mediodía)|(?P<close>eod|cob|end of (?:the )?day|close of business|feierabend))"
)
_DAYPART = re.compile(
    r",? ?(?:(?P<morning>(?:in the )?morning|früh|vormittags?|(?:por|de) la mañana)"
    r"|(?:in the )?(?:afternoon|evening)|nachmittags?|abends?|(?:por|de) la (?:tarde|noche))\b",
    re.IGNORECASE,
)
_TIME_AFTER = re.compile(
    rf",? ?(?P<bracket>\()?(?:at |um |gegen |by |bis |a las? |before |vor |antes de las? )?{_TIME}(?(bracket)\)?)",
    re.IGNORECASE,
)
_TIME_BEFORE = re.compile(
    rf"\b(?:(?P<by>by|until|bis|before) |at |um |a las? )?{_TIME},? (?:on |am |el |de )?$", re.IGNORECASE
)
_TIME_ALONE = re.compile(
    rf"\b(?P<by>(?:by|until|before|bis|vor|spätestens(?: um)?|antes de las?|hasta las?|para las?) (?:the )?)?{_TIME}",
    re.IGNORECASE,
)


def _all_dates(text: str, now: datetime, *, month_first: bool) -> list[Due]:
    """All days in `text`, else all times of today, that may be due dates, in the order of the text."""
    reader = _Reader(now.date(), month_first)
    dates: list[Due] = []
    for match, read in islice(_longest_matches(text), _MOST_DAYS):
        try:
            day = read(reader, match.groupdict())
        except (ValueError, OverflowError):
            continue
        if due := _due(text, match, day, now, period=read in (_Reader.week, _Reader.month)):
            dates.append(due)
    if not dates and now.date() < date.max:
        dates.extend(_today(match, now) for match in _TIME_ALONE.finditer(text) if match["by"] or match["close"])
    return dates


def _longest_matches(text: str) -> Iterator[tuple[re.Match[str], Callable[[_Reader, Groups], date]]]:
    """Matches of days with their readings, from left to right; of overlapping ones the longest."""
    matches = [(match, read) for pattern, read in _READINGS for match in pattern.finditer(text)]
    end = 0
    for match, read in sorted(matches, key=lambda pair: (pair[0].start(), -pair[0].end())):
        if match.start() >= end:
            end = match.end()
            yield match, read


def _due(text: str, match: re.Match[str], day: date, now: datetime, *, period: bool) -> Due | None:
    """The due date that a day means, by the words around it; None if they show that it is no due date."""
    clock_before = _TIME_BEFORE.search(text, max(0, match.start() - _BEFORE), match.start())
    start = clock_before.start() if clock_before else match.start()
    lead = _LEAD.search(text, max(0, start - _BEFORE), start)
    if lead and lead["unrelated"]:
        return None
    groups = match.groupdict()
    if groups.get("slash") and not (lead or groups["year"]):
        return None  # three quarters
    part = _DAYPART.match(text, match.end())
    after = part.end() if part else match.end()
    clock = clock_before or _TIME_AFTER.match(text, after)
    before = bool(lead and lead["before"])
    if before and period:
        if re.match(_END, match.group(), re.IGNORECASE):
            before = False  # "before the end of March" is by the end of March
        elif not groups.get("middle"):
            day = day.replace(day=1) if "month" in groups else day - timedelta(days=day.weekday())
    if clock:
        at = datetime.combine(day, _time_of(clock), UTC)
    elif before:
        at = datetime.combine(day, time(0), UTC)
    else:
        at = datetime.combine(day, _NOON if part and part["morning"] else END_OF_DAY, UTC)
        if at <= now and day == now.date():
            at = datetime.combine(day, _LAST_MINUTE, UTC)
    end = after if clock_before or not clock else clock.end()
    article = lead or _BARE_ARTICLE.search(text, max(0, start - _BEFORE), start)
    deadline = before or bool(lead and lead["by"]) or bool(clock_before and clock_before["by"])
    return Due(at, article.start() if article else start, end, deadline)


def _today(match: re.Match[str], now: datetime) -> Due:
    at = datetime.combine(now.date(), _time_of(match), UTC)
    return Due(at if at > now else at + timedelta(days=1), match.start(), match.end(), True)


def _time_of(clock: re.Match[str]) -> time:
    if clock["close"]:
        return END_OF_DAY
    if clock["noon"]:
        return _NOON
    hour, minute = int(clock["hour"]), int(clock["minutes"] or clock["minute"] or 0)
    if clock["half"]:
        hour = hour % 12 + (12 if clock["half"].lower() == "p" else 0)
    return time(hour % 24, minute)
