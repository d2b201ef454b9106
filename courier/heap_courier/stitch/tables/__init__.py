"""The tables and views that a run of Stitch writes into the warehouse. Never which records belong together."""
