"""Hyperparameter search: many configurations of one task are begun, few are finished."""
