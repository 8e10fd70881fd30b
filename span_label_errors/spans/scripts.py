"""What scripts mean by a word and by the end of a sentence, as parts of regular expressions, from Unicode's properties.

Without a list of any language's words.
"""

import unicodedata


def _of_category(*names: str) -> str:
    """Return the characters of some general categories."""
    return "".join(character for character in map(chr, range(0x10000)) if unicodedata.category(character) in names)


# Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet, kana, bopomofo, Han: nothing there shows where
# words end, so that each letter stands for itself.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf\u3005-\u3007"
    "\u3031-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff"
)
# But what is written in katakana is mostly one word of another language.
KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\u3099\u309a"
# What goes with the letter before it: accents, vowel signs, and characters without width that hold a word together.
# Beyond 16 bits, only the variants of Han: a set of more takes ten times as long to look up.
JOINERS = "\u00ad\u200c\u200d\u2060"
_MARKS, _VARIANTS = JOINERS + _of_category("Mn", "Mc", "Me"), "\U000e0100-\U000e01ef"
# Vowels before their consonant (Unicode's logical order exceptions); vowels, small kana, iteration and length marks
# behind a letter; what stacks a consonant on the one before; the vowels of Thai and Lao that a consonant must close;
# and the mark of a silent consonant.
_BEFORE = "\u0e40-\u0e44\u0ec0-\u0ec4\u19b5-\u19b7\u19ba\uaab5\uaab6\uaab9\uaabb\uaabc"
BEHIND = "\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3\u0ebdぁぃぅぇぉゃゅょゎァィゥェォャュョヮー々ゝゞヽヾ\uff9e\uff9f"
_STACKING, _CLOSED, _SILENT = "\u1039\u17d2\u1a60", "\u0e31\u0e37\u0eb1\u0eb7\u0ebb", "\u0e4c\u0ecc"
_BASE = rf"(?=[^\W\d_])[{UNSPACED}]"
_WITH_BASE = rf"(?:[{_STACKING}]|[{_CLOSED}][{_MARKS}]*){_BASE}|{_BASE}[{_MARKS}]?[{_SILENT}]"
_CLUSTER = rf"[{_BEFORE}]*{_BASE}(?:{_WITH_BASE}|[{_MARKS}{BEHIND}]|[{_VARIANTS}])*"
_UNSPACED_WORD = rf"(?=\w)[{KATAKANA}]+|{_CLUSTER}"
_LETTER = rf"(?:(?:[^\W{UNSPACED}]|\d)[{_MARKS}]*)"
# Marks within a number; spaces that no line breaks at, and the full-width comma, only between groups of three digits.
# Hebrew marks an abbreviation before its last letter.
JOINT = (
    r"(?:(?<=\d)(?:[.,٫٬．]|(?<!\d{4})[\u00a0\u2009\u202f，](?=\d{3}(?!\d)))(?=\d)"
    r"|(?<=[\u0590-\u05f4])(?:[\"״](?=[א-ת][\u0590-\u05cf]*(?![א-ת]))|[׳'](?=[א-ת])))"
)
CURRENCY = _of_category("Sc")
# A word keeps the marks that join its parts ("l'Étoile", "1,000") and those that belong to it ("$40", "47%", "C#").
WORD = rf"[{CURRENCY}]?{_LETTER}+(?:(?:{JOINT}|[.,'’\-–·־՛՜՞]){_LETTER}+)*(?:[%٪％°#׳]|\+\+)?|{_UNSPACED_WORD}"
# Unicode's sentence terminals of living scripts. Greek asks with a semicolon. The full stop may belong to an
# abbreviation, and does so where a text or a script has another one.
FULL_STOPS = "։۔।॥။።៕។᙮꓿꯫。｡"
_CLOSING = "[\"'”’“»›)\\]）」』】》〉]*"
SENTENCE_END = (
    rf"(?:(?<![{UNSPACED}])\.|[!?]|(?<=[\u0370-\u03ff\u1f00-\u1fff]);){_CLOSING}\s+"
    rf"|[؟！？{FULL_STOPS}]{_CLOSING}\s*"
)
# Punctuation between words: before white space, or of scripts that have none there.
MARK_BETWEEN = rf"[,;:.!?·]\s|[،؛፣፤፥、；､؟！？{FULL_STOPS}]|[，：](?!\d)"
