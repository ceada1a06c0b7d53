"""A study each: the runs that it wants, its table and its picture."""
