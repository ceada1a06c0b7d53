"""Methods compared on the same examples: how far the difference of their scores can be trusted."""
