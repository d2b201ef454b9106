"""How well and how fast Stitch finds the records of one customer."""
