"""The screens of the console: what each shows, and what its forms do. How pages are served is not part of it."""
