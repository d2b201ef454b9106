"""One sync or preview: the loop that connects the other packages. Never a rule of mapping or delivery."""
