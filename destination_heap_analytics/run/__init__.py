"""One sync or preview: the loop that connects the other packages, and its report. Never a rule of mapping or delivery."""
