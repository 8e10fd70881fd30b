"""Tags that mark spans token by token: which scheme they follow, the spans that they mark, and tags of other spans.

A scheme says by a prefix where in a span a token stands. IOB1 and IOB2 are those of CoNLL (Ramshaw and Marcus 1995;
Tjong Kim Sang and Veenstra 1999); IOBES, BILOU, BMEWO and BMES also mark the last token and spans of one token; IO has
classes alone.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from span_label_errors.data.messages import shown_names

OUTSIDE = "O"
_PREFIXES = "BIESLUMW"
_PREFIXED = re.compile(rf"[{_PREFIXES}]([-_]).+", re.DOTALL)
_SUFFIXED = re.compile(rf".+[-_][{_PREFIXES}]", re.DOTALL)
# The prefixes of the first token of several, those in the middle, the last, and an only one.
_WITH_ENDS = {"IOBES": "BIES", "BILOU": "BILU", "BMEWO": "BMEW", "BMES": "BMES"}
_ENDS, _SINGLES = "EL", "SUW"
_MOST_CLASSES = 200  # of IO, where any column of words could be one of classes


class Scheme(NamedTuple):
    """How tags say which tokens a span has."""

    name: str  # "IO", "IOB1", "IOB2", or one of those that mark ends
    separator: str = ""  # between prefix and class; tags without classes have none
    prefixes: str = ""  # of the first token of several, those in the middle, the last, and an only one; of IO none

    @property
    def has_classes(self) -> bool:
        """Whether tags name the class of a span."""
        return self.name == "IO" or bool(self.separator)

    def tag(self, prefix: str, class_name: str) -> str:
        """Return the tag of a token."""
        return class_name if self.name == "IO" else prefix + self.separator + class_name

    def shown(self, prefixes: str, class_name: str = "…") -> str:
        """Return tags for a message, such as "I-PER or E-PER"."""
        return " or ".join(self.tag(prefix, class_name if self.has_classes else "") for prefix in prefixes)


class TaggedSpan(NamedTuple):
    """A span of tokens."""

    token_start: int
    token_end: int
    class_name: str  # "" where tags name no classes


class TagError(ValueError):
    """Raised where a tag does not follow the one before it, or is none."""

    def __init__(self, position: int, expected: str, found: str):
        self.position = position  # of the token; the number of tokens where more were expected
        self.expected = expected
        self.found = found
        super().__init__(f"token {position}: expected {expected}; found {found}")


def is_prefixed(tag: str) -> bool:
    """Return whether a text looks like a prefix and a class, such as B-PER."""
    return bool(_PREFIXED.fullmatch(tag))


def scheme_of(sequences: Iterable[Sequence[str]], names: Sequence[str] = ()) -> Scheme:
    """Return the scheme of a data set's tags.

    Parameters
    ----------
    sequences : iterable of sequence of str
        The tags of each sentence, all of them: IOB1 and IOB2 differ only in where `B-` stands.
    names : sequence of str
        All tags that there may be, if that is known.

    Raises
    ------
    ValueError
        If they are no tags, or of a scheme that cannot be read; the message says what was found.
    """
    pairs = Counter(pair for tags in sequences for pair in pairwise((OUTSIDE, *tags)))
    counts = Counter(names)
    if not names:
        for (_, tag), count in pairs.items():
            counts[tag] += count
    marked = Counter({tag: count for tag, count in counts.items() if tag != OUTSIDE})
    total = marked.total()
    prefixed = {tag: count for tag, count in marked.items() if is_prefixed(tag)}
    if 2 * sum(prefixed.values()) > total or not marked:
        separators = Counter({mark: sum(n for tag, n in prefixed.items() if tag[1] == mark) for mark in "-_"})
        return _with_prefixes(prefixed, separators.most_common(1)[0][0], pairs)
    if marked.keys() <= set(_PREFIXES):
        return _with_prefixes(marked, "", pairs)
    if all(_SUFFIXED.fullmatch(tag) for tag in marked):
        raise ValueError(
            f"expected tags such as B-PER, found {shown_names(marked)}, which have the prefix behind the class; "
            "write it in front"
        )
    if OUTSIDE not in counts or len(marked) > _MOST_CLASSES:
        found = shown_names(tag for tag, _ in marked.most_common())
        raise ValueError(f"expected tags such as O, B-PER and I-PER, or O and names of classes; found {found}")
    return Scheme("IO")


def spans_of(tags: Sequence[str], scheme: Scheme) -> list[TaggedSpan]:
    """Return the spans of a sentence, in order.

    As CoNLL's evaluation reads IOB1 and IOB2, `I-` begins a span where none of its class can go on.

    Raises
    ------
    TagError
        If a tag is none of the scheme; in schemes that mark ends, also where one does not follow the one before it.
    """
    parsed = [_parsed(tag, position, scheme) for position, tag in enumerate(tags)]
    return list(_with_ends(parsed, tags, scheme) if scheme.name in _WITH_ENDS else _without_ends(parsed))


def retagged(tags: Sequence[str], spans: Sequence[TaggedSpan], scheme: Scheme) -> list[str]:
    """Return the tags of a sentence with other spans; those of a span that stays are kept.

    Parameters
    ----------
    tags : sequence of str
        Tags that `spans_of` reads.
    spans : sequence of TaggedSpan
        All spans that there are to be, in any order.
    scheme : Scheme

    Raises
    ------
    ValueError
        If spans overlap, or the scheme cannot tell neighbours of one class apart.
    """
    old, spans = spans_of(tags, scheme), sorted(spans)
    new = [OUTSIDE] * len(tags)
    before: TaggedSpan | None = None
    for span in spans:
        start, end, class_name = span
        if before is not None and start < before.token_end:
            raise ValueError(
                f"expected spans that do not overlap, since a token has one tag, found one of the class "
                f"{class_name!r} that begins at token {start}, inside one of the class {before.class_name!r}; shorten "
                "or remove one of them"
            )
        follows = before is not None and before[1:] == (start, class_name)
        if follows and scheme.name == "IO":
            raise ValueError(
                f"expected spans of one class to have a token between them, since the scheme IO, which has no B-, "
                f"would make one of two; found two of the class {class_name!r}"
            )
        new[start:end] = tags[start:end] if span in old else _tags_of(span, scheme)
        if scheme.name in ("IOB1", "IOB2"):
            # Of a span that stays, `B-` depends on the neighbour, which may be another one now.
            followed = any(other[1:] == (start, class_name) for other in old)
            if follows:
                new[start] = scheme.tag("B", class_name)
            elif scheme.name == "IOB1" and (followed or span not in old):
                new[start] = scheme.tag("I", class_name)
        before = span
    return new


def _with_prefixes(marked: dict[str, int], separator: str, pairs: Counter) -> Scheme:
    counts: Counter = Counter()
    for tag, count in marked.items():
        counts[tag[0]] += count
    # Where ends are marked, each span has one, and as many begin as end.
    if 2 * sum(counts[prefix] for prefix in _ENDS + _SINGLES) <= counts["B"] or counts.keys() <= set("BI"):
        return _of_iob(separator, pairs)
    name = next((name for name, prefixes in _WITH_ENDS.items() if counts.keys() <= set(prefixes)), None)
    if name is None or (counts.keys() & set(_ENDS) and not counts["B"]):
        known = ", ".join(["IO", "IOB1", "IOB2", *_WITH_ENDS])
        raise ValueError(
            f"expected tags of one of the schemes {known}; found the prefixes {', '.join(sorted(counts))}, which are "
            "those of none of them; convert them to IOB2"
        )
    return Scheme(name, separator, _WITH_ENDS[name])


def _of_iob(separator: str, pairs: Counter) -> Scheme:
    """Return the one of IOB1 and IOB2 that more of the spans follow which are not behind one of their class."""
    firsts: Counter = Counter()
    for (before, tag), count in pairs.items():
        if tag != OUTSIDE and (before == OUTSIDE or before[1:] != tag[1:]):
            firsts[tag[0]] += count
    return Scheme("IOB1", separator, "IIII") if firsts["I"] > firsts["B"] else Scheme("IOB2", separator, "BIIB")


def _parsed(tag: str, position: int, scheme: Scheme) -> tuple[str, str]:
    """Return prefix and class of a tag; of the outside, itself and nothing."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if scheme.name == "IO" and tag:
        return "", tag
    prefix, separator, class_name = tag[:1], tag[1 : 1 + len(scheme.separator)], tag[1 + len(scheme.separator) :]
    is_whole = prefix and prefix in "B" + scheme.prefixes and separator == scheme.separator
    if not is_whole or bool(class_name) != scheme.has_classes:
        prefixes = "".join(dict.fromkeys("B" + scheme.prefixes))
        raise TagError(position, f"O, {scheme.shown(prefixes)}, since the scheme is {scheme.name}", repr(tag))
    return prefix, class_name


def _without_ends(parsed: Sequence[tuple[str, str]]) -> Iterator[TaggedSpan]:
    start: int | None = None
    before = (OUTSIDE, "")
    for position, (prefix, class_name) in enumerate([*parsed, (OUTSIDE, "")]):
        is_inside = prefix not in (OUTSIDE, "B") and before[0] != OUTSIDE and before[1] == class_name
        if start is not None and not is_inside:
            yield TaggedSpan(start, position, before[1])
            start = None
        if prefix != OUTSIDE and not is_inside:
            start = position
        before = prefix, class_name


def _with_ends(parsed: Sequence[tuple[str, str]], tags: Sequence[str], scheme: Scheme) -> Iterator[TaggedSpan]:
    begin, middle, end, single = scheme.prefixes
    start: int | None = None
    of_open = ""
    for position, (prefix, class_name) in enumerate(parsed):
        if start is not None:
            if prefix not in (middle, end) or class_name != of_open:
                raise TagError(position, scheme.shown(middle + end, of_open), tags[position])
            if prefix == end:
                yield TaggedSpan(start, position + 1, class_name)
                start = None
        elif prefix == single:
            yield TaggedSpan(position, position + 1, class_name)
        elif prefix == begin:
            start, of_open = position, class_name
        elif prefix != OUTSIDE:
            raise TagError(position, f"O, {scheme.shown(begin + single, class_name)}", tags[position])
    if start is not None:
        raise TagError(len(parsed), scheme.shown(middle + end, of_open), "the end of the sentence")


def _tags_of(span: TaggedSpan, scheme: Scheme) -> list[str]:
    count = span.token_end - span.token_start
    if scheme.name == "IO":
        return [span.class_name] * count
    begin, middle, end, single = scheme.prefixes
    prefixes = single if count == 1 else begin + middle * (count - 2) + end
    return [scheme.tag(prefix, span.class_name) for prefix in prefixes]
