"""The process around a run: standard input and output, signals, the progress line. Never a record or a request."""
