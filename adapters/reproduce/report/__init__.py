"""What the studies' reports share: statistics, pages, pictures."""
