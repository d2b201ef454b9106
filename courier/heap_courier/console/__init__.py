"""The console: the courier's commands as pages in a browser. Never contains what a command does."""
