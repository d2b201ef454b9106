"""The tables and views that a run of Stitch writes. Never links records."""
