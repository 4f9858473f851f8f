"""Who is who: one person counts once, however the name is spelt.

Names are compared after Unicode NFKC and case folding (UAX #15, and Unicode
section 3.13, D145). A name that could pass for another's is refused: one with
control, format or other invisible characters, with letters of scripts that are
not in common use, or one that mixes scripts whose letters look alike (as a
Cyrillic letter in a Latin name; UAX #31, table 5, and UTS #39, section 5.2).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final

_LONGEST: Final = 320
_LATELY: Final = 1_000
"""Names whose forms are remembered: each follows from its letters alone, and is asked for often."""
_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that are drawn as nothing (Default_Ignorable_Code_Point without Cf and Cn).
_INVISIBLE: Final = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x180E))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)
# UAX #31, table 5, by the first word of their letters' names; others hold too many twins of Latin.
_USED_TODAY: Final = (
    "ARABIC ARMENIAN BENGALI BOPOMOFO CJK CYRILLIC DEVANAGARI ETHIOPIC GEORGIAN GREEK GUJARATI "
    "GURMUKHI HANGUL HEBREW HIRAGANA IDEOGRAPHIC KANNADA KATAKANA KATAKANA-HIRAGANA KHMER LAO "
    "LATIN MALAYALAM MYANMAR ORIYA SINHALA TAMIL TELUGU THAANA THAI TIBETAN"
)
_IN_USE: Final = frozenset(_USED_TODAY.split())
# What may stand in one name: UTS #39 calls it highly restrictive.
_EAST_ASIAN: Final = "BOPOMOFO CJK HANGUL HIRAGANA IDEOGRAPHIC KATAKANA KATAKANA-HIRAGANA"
_TOGETHER: Final = frozenset(("LATIN", *_EAST_ASIAN.split()))
# Letters of living languages that are no ASCII letter with marks; the others are phoneticians'.
_LATIN: Final = frozenset("æðøþđħłŋœŧə")
_DOTLESS: Final = "\u0131"


def identity(name: str) -> str:
    """The form of `name` in which people are compared.

    Raises:
        ValueError: it is no name of one identifiable person.
    """
    if not _is_short(name) or not name:
        msg = "a person is identified by a text of 1 to 320 characters"
        raise ValueError(msg)
    return _identity(name)


@lru_cache(_LATELY)
def _identity(name: str) -> str:
    is_ascii = name.isascii()  # the most of them, by far
    if not (is_ascii and name.isprintable()):
        for character in name:
            if _is_unseen(character):
                msg = f"the name {name!a} holds the invisible character U+{ord(character):04X}"
                raise ValueError(msg)
    if is_ascii:
        folded = name.lower()
    else:
        folded = _folded(name)
        _check_letters(name, folded)
    if folded != folded.strip() or not folded:
        msg = f"the name {name!a} begins or ends with a space"
        raise ValueError(msg)
    return " ".join(folded.split())


def person(name: str) -> str:
    """Whose `name` is, to count people by: an address with a tag is that of its owner.

    As ``lee+2@acme.example`` is of ``lee@acme.example`` (RFC 5233). Nobody gets a right by that:
    where people are looked up their whole names count.

    Raises:
        ValueError: it is no name of one identifiable person.
    """
    return _untagged(identity(name))


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's; names that identify nobody are compared as they are."""
    return _looks(one) == _looks(other)


def _looks(name: str) -> str:
    return _seen(name) if _is_short(name) else _untagged(_visible(name))


@lru_cache(_LATELY)
def _seen(name: str) -> str:
    return _untagged(_visible(name))


def _is_short(name: object) -> bool:
    """Whether `name` is a text that may be remembered; equal to one is not enough."""
    return type(name) is str and len(name) <= _LONGEST


def is_identity(name: str) -> bool:
    """Whether `name` is of one identifiable person."""
    try:
        identity(name)
    except ValueError:
        return False
    return True


def _check_letters(name: str, folded: str) -> None:
    alphabets = set()
    for character in folded:
        if character.isascii() or unicodedata.category(character).startswith("M"):
            if character.isalpha():
                alphabets.add("LATIN")
            continue
        alphabet, _, rest = unicodedata.name(character, "?").partition(" ")
        alphabets.add(alphabet)
        if not (
            character.isalpha()
            and alphabet in _IN_USE
            and (alphabet != "LATIN" or _is_common_latin(character))
            and (alphabet != "HANGUL" or rest.startswith("SYLLABLE"))
        ):
            msg = f"the name {name!a} holds U+{ord(character):04X}, which could pass for another"
            raise ValueError(msg)
    if len(alphabets) > 1 and not alphabets <= _TOGETHER:
        mixed = " and ".join(sorted(alphabets)).lower()
        msg = f"the name {name!a} mixes {mixed} letters, which look alike"
        raise ValueError(msg)


def _is_common_latin(character: str) -> bool:
    base = unicodedata.normalize("NFD", character)[0]
    return base.isascii() or base in _LATIN


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED or ord(character) in _INVISIBLE


def _folded(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Whether an i has its dot is a matter of language: it makes no other person.
    return folded.replace(_DOTLESS, "i")


def _untagged(name: str) -> str:
    local, at, domain = name.rpartition("@")
    owner = local.partition("+")[0]
    return f"{owner}@{domain}" if at and owner else name


def _visible(name: str) -> str:
    if name.isascii() and name.isprintable():
        return " ".join(name.lower().split())
    seen = "".join(character for character in _folded(name) if not _is_unseen(character))
    return " ".join(seen.split())
