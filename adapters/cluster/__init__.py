"""A trained task on many machines: the workers of a Dask cluster answer a table's blocks."""
