"""The names of the checkpoints that come with the package, apart from `checkpoints`, which loads torch."""

EMBEDDED_READER, EMBEDDED_BACKBONE = "embedded", "embedded-backbone"
EMBEDDED = (EMBEDDED_READER, EMBEDDED_BACKBONE)
