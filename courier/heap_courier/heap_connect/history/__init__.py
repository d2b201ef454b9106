"""History mode: every version of the rows of Heap's tables. Never the tables with the newest versions alone."""
