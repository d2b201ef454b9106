"""One customer across all feeds: which records belong together, and the tables of customers. Never how rows came."""
