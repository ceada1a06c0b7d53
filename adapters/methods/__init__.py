"""The tuning methods: the paper's adapter in `bottleneck`, others beside it, and their `table`."""
