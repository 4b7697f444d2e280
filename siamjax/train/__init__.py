"""Training: a pure step, schedules, recipes, checkpoints and the loop that joins them."""
