"""What to run: budgets, plans, and the choice of hyperparameters."""
