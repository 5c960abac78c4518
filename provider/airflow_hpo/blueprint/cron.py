"""
Whether a schedule is one that Airflow can read; without asking Airflow.
"""

from __future__ import annotations

import re

from airflow_hpo.model.registry import did_you_mean

__all__ = ["PRESETS", "schedule_problem"]

PRESETS = (
    "@once",
    "@continuous",
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# Name, least, most, and words that stand for numbers from the least on.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
    ("second", 0, 59, ()),
)

_COUNTS = (5, 6)

_ITEM = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[0-9]+))?")

# What only some fields know: the last day, the n-th weekday.
_SPECIAL = {
    "day of the month": re.compile(r"l", re.IGNORECASE),
    "day of the week": re.compile(r"l?[0-7](#[1-5])?|[a-z]{3}#[1-5]", re.IGNORECASE),
}


def schedule_problem(text: str) -> tuple[str, str | None] | None:
    """
    Return what is wrong with a schedule, and a hint; `None` if nothing is.

    Example:
        >>> schedule_problem("@dayly")
        ("must be a cron expression or a preset, got '@dayly'", "did you mean '@daily'?")
        >>> schedule_problem("0 25 * * *")
        ("must have an hour from 0 to 23, got '25'", None)
        >>> schedule_problem("*/15 2 * * mon-fri")
    """
    if text.startswith("@"):
        if text in PRESETS:
            return None
        rule = f"must be a cron expression or a preset, got {text!r}"
        return rule, did_you_mean(text, PRESETS) or f"presets are {', '.join(PRESETS)}"
    fields = text.split()
    if len(fields) not in _COUNTS:
        rule = f"must be a cron expression of five fields or a preset, got {text!r}"
        return rule, 'write "0 2 * * *" for every night at two, or "@daily"'
    for field, (name, least, most, words) in zip(fields, _FIELDS, strict=False):
        for item in field.split(","):
            special = _SPECIAL.get(name)
            if special is not None and special.fullmatch(item):
                continue
            if not _fits(item, least, most, words):
                article = "an" if name == "hour" else "a"
                return f"must have {article} {name} from {least} to {most}, got {item!r}", None
    return None


def _fits(item: str, least: int, most: int, words: tuple[str, ...]) -> bool:
    match = _ITEM.fullmatch(item)
    if match is None:
        return False
    first, last, step = match.groups()
    if step is not None and int(step[:6]) == 0:
        return False
    if first == "*":
        return last is None
    ends = [_number(word, least, words) for word in (first, last) if word is not None]
    return all(end is not None and least <= end <= most for end in ends)


def _number(word: str, least: int, words: tuple[str, ...]) -> int | None:
    if word.isascii() and word.isdigit():
        return int(word[:6])
    lower = word.lower()
    return words.index(lower) + least if lower in words else None
