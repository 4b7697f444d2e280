"""The trackers: one file per family's `init` and `step`, pure functions of explicit state."""
