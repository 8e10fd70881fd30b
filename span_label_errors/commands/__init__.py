"""The commands of `span-label-errors`, a module each: `audit`, `fold` and `notebooks`."""
