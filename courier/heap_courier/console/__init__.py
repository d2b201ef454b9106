"""The console: the courier's commands as pages in a browser. What a command does is implemented elsewhere."""
