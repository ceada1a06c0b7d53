"""The paper's tables, figures and claims, each as something one can run.

A study (`table1`, `tradeoff`, ...) lists the runs it needs and turns their results into a table and
a picture. `sweep` computes the runs that are still missing; the `ledger` judges the paper's claims
by the results. The imports point one way:
pipeline -> ledger -> studies -> comparison -> report -> plans -> sweep.
"""
