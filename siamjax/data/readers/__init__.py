"""One file per dataset layout; each `read(root)` returns a sequence of `Track`."""
