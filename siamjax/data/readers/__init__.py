"""One file per dataset layout; each `read(root)` returns a list of `Track`."""
