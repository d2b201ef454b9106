"""The process around a run: files, standard input and output, signals, progress. Never a record or a request."""
