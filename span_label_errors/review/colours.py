"""The colours of span classes, the same on the page and in Label Studio."""

# Each has a contrast of at least 4.5 on white. Any two differ by 16 or more in CIELAB as people with each kind of
# colour blindness see them (Machado et al., 2009), the first six by 21. With more classes they come again: what tells
# classes apart everywhere is the name beside the mark.
COLOURS = ("#0072b2", "#c44e00", "#00552b", "#7800e6", "#780050", "#2828a0", "#e60050", "#780000")


def colour_number(class_name: str, classes: list[str]) -> int:
    """Return which of the colours a class has."""
    return classes.index(class_name) % len(COLOURS)
