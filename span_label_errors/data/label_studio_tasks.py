"""Label Studio's export "JSON": a list of tasks, each with its `data` and `annotations`.

The annotation that counts is the one that is the ground truth; else all that are not cancelled must agree, and a
correction makes the first of them the ground truth. Tasks without an annotation are passed over, and so are
predictions.
"""

from span_label_errors.data.messages import describe, shorten, shown_names
from span_label_errors.data.rows import is_missing
from span_label_errors.data.span_records import Entry, Mark, SpanLayout, value_at
from span_label_errors.data.tagged_tables import TITLE_COLUMNS

_READ = ("id", "question", *TITLE_COLUMNS)  # fields of `data` that are no text to label
_GROUND_TRUTH = "ground_truth"


def task_layout_of(document: object) -> SpanLayout | None:
    """Return the layout of an export; None if a parsed document is of another form."""
    entries = document if isinstance(document, list) else [document]
    return SpanLayout(_entry, "result", None) if any(map(_is_task, entries)) else None


def _is_task(entry: object) -> bool:
    return isinstance(value_at(entry, ("data",)), dict) and isinstance(value_at(entry, ("annotations",)), list)


def _entry(task: object) -> Entry | None:
    if not _is_task(task):
        return _wrong({}, "", "a task with 'data' and 'annotations'", describe(task))
    data = task["data"]
    fields = {name: data[name] for name in _READ if name in data}
    if is_missing(fields.get("id")):
        fields["id"] = task.get("id")
    annotations = list(enumerate(task["annotations"]))
    if any(not isinstance(value_at(annotation, ("result",)), list) for _, annotation in annotations):
        return _wrong(fields, "", "annotations with a list 'result'", describe(task["annotations"]))
    done = [(index, annotation) for index, annotation in annotations if not annotation.get("was_cancelled")]
    done = [(index, annotation) for index, annotation in done if annotation.get(_GROUND_TRUTH)] or done
    if not done:
        return None
    names = [name for name, value in data.items() if isinstance(value, str) and name not in _READ]
    if "text" not in names and len(names) != 1:
        return _wrong(fields, "", "a string 'text' in 'data', or only one string", f"the fields [{shown_names(data)}]")
    text = data["text" if "text" in names else names[0]]
    if len({_content(annotation["result"]) for _, annotation in done}) > 1:
        found = f"{len(done)} that differ (mark the right one as ground truth in Label Studio)"
        return _wrong(fields, text, "one annotation, or several that agree", found)
    if len(done) > 1 and _GROUND_TRUTH not in done[0][1]:
        found = f"{len(done)} without it"
        return _wrong(fields, text, f"{_GROUND_TRUTH!r} in the annotations, where several count", found)
    index, annotation = done[0]
    marks = []
    for position, result in enumerate(annotation["result"]):
        kind, value = value_at(result, ("type",)), value_at(result, ("value",))
        if not str(kind).endswith("labels"):
            continue  # a choice, a relation
        if kind != "labels" or not isinstance(value, dict):
            return _wrong(fields, text, "spans of a text, which are results of the type 'labels'", describe(result))
        if not isinstance(value.get("labels"), list) or len(value["labels"]) != 1:
            return _wrong(fields, text, "one label for each span", shorten(str(value)))
        own_text = ("value", "text") if isinstance(value.get("text"), str) else None
        marks.append((position, Mark(("value", "start"), ("value", "end"), ("value", "labels", 0), own_text)))
    # What others said stays; that they disagree now must not count.
    if_changed = {("annotations", index, _GROUND_TRUTH): True} if len(done) > 1 else {}
    return Entry(fields, text, annotation["result"], ("annotations", index, "result"), marks, if_changed=if_changed)


def _content(results: list) -> frozenset:
    """Return the spans of an annotation, to compare it with others."""
    values = [value_at(result, ("value",)) for result in results if value_at(result, ("type",)) == "labels"]
    return frozenset(str([value_at(value, (name,)) for name in ("start", "end", "labels")]) for value in values)


def _wrong(fields: dict, text: str, expected: str, found: str) -> Entry:
    return Entry(fields, text, None, (), [], (expected, found))
