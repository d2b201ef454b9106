"""The columns of a run: what a name means, where rows have it, casts, and names that no row has. Never a payload."""
