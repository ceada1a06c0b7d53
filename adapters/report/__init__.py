"""How good a task is on labelled examples: figures in `judgement`, one HTML page in `page`."""
