"""One module for each study: the runs it needs, its table and its figure."""
