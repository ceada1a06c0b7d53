"""The paper's tables, figures and claims, each as something one can run.

A study (`table1`, `tradeoff`, ...) says which runs it wants and makes a table and a picture of
their results. `sweep` runs whatever is wanted and not there yet, `claims` judges the paper's
claims by what came out.
"""
