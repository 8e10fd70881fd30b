"""Score the given answers, say why one is suspicious, and suggest another; none of this loads torch."""
