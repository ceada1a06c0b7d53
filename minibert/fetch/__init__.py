"""Downloads: public weights and datasets, verified."""
