"""History mode: every version of the rows of Heap's tables."""
