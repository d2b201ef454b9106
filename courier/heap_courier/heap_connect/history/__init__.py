"""History mode: every version of the rows of Heap's tables. Never the tables that have only the newest versions."""
