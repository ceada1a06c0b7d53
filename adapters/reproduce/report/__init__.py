"""What the studies' reports share: statistics, pages, figures."""
