"""The tables and views that a run of Stitch writes. Linking records is not part of it."""
