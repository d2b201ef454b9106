"""The screens of the console: what each shows, and what its forms do. Never contains how pages are served."""
