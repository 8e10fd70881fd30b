"""The commands of `span-label-errors`, a module each: `audit`, `fold`, `reader` and `notebooks`."""
