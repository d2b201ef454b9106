"""The command line: options, help and what is printed. Never what a command does."""
