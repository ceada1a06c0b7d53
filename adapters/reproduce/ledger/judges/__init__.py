"""How each claim is judged: the judges of each study in a file of its name."""
