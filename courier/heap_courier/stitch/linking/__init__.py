"""Which records belong together, and the id of each customer. Never how a table stores them."""
