"""Who is who: one person counts once, however the name is spelt.

Names are compared after Unicode NFKC and case folding (UAX #15, and Unicode
section 3.13, D145). A name that could pass for another's is refused: one with
control, format or other invisible characters, or one that mixes alphabets whose
letters look alike (as a Cyrillic letter in a Latin name; UTS #39, section 5).
"""

from __future__ import annotations

import unicodedata
from typing import Final

_LONGEST: Final = 320
_LOOK_ALIKE: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE"})
_REFUSED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that are drawn as nothing (Default_Ignorable_Code_Point without Cf and Cn).
_INVISIBLE: Final = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x180E))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)


def identity(name: str) -> str:
    """The form of `name` in which people are compared.

    Raises:
        ValueError: it is no name of one identifiable person.
    """
    if type(name) is not str or not name or len(name) > _LONGEST:
        msg = "a person is identified by a text of 1 to 320 characters"
        raise ValueError(msg)
    for character in name:
        if unicodedata.category(character) in _REFUSED or ord(character) in _INVISIBLE:
            msg = f"the name {name!a} holds the invisible character U+{ord(character):04X}"
            raise ValueError(msg)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    if folded != folded.strip() or not folded:
        msg = f"the name {name!a} begins or ends with a space"
        raise ValueError(msg)
    alphabets = {
        unicodedata.name(character, "?").partition(" ")[0]
        for character in folded
        if character.isalpha()
    }
    if len(alphabets & _LOOK_ALIKE) > 1:
        mixed = " and ".join(sorted(alphabets & _LOOK_ALIKE)).lower()
        msg = f"the name {name!a} mixes {mixed} letters, which look alike"
        raise ValueError(msg)
    return folded


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's; names that identify nobody are compared as they are."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        character
        for character in folded.strip()
        if unicodedata.category(character) not in _REFUSED and ord(character) not in _INVISIBLE
    )
