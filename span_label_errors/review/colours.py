"""The colours of span classes, the same on the page and in Label Studio."""

# Each has a contrast of at least 4.5 on white, and they differ to colour-blind people as far as eight colours can. With
# more classes they come again: the name of the class stands beside every mark.
COLOURS = ("#0072b2", "#c44e00", "#117733", "#aa4499", "#7a6a00", "#332288", "#882255", "#00807a")


def colour_number(class_name: str, classes: list[str]) -> int:
    """Return which of the colours a class has."""
    return classes.index(class_name) % len(COLOURS)
