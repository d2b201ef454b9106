"""The screens of the console: what each shows, and what its forms do. Never how a page is served."""
