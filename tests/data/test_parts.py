"""Parts of a data set."""

from span_label_errors.data.parts import in_parts


def test_parts_end_with_enough_items_or_tokens():
    items = ["aaa", "bbb", "c", "dddddddd", "e", "f", "g", "hh"]
    found = in_parts(iter(items), len, most_items=3, most_tokens=6)
    assert list(found) == [["aaa", "bbb"], ["c", "dddddddd"], ["e", "f", "g"], ["hh"]]
    assert list(in_parts([], len, most_items=3)) == []
