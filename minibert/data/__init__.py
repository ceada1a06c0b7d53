"""Tasks and their data: GLUE, SQuAD, a user's own tables, metrics, and the project's samples."""
