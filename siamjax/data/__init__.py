"""Training data: readers, pair sampling, augmentation on the device, the input pipeline."""
