"""Tasks and their data: GLUE, SQuAD, one's own tables, metrics, and the project's own samples."""
