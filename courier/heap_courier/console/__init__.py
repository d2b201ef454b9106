"""The console: the courier's commands as pages in a browser. Never what a command does."""
