"""Speed of each part on this machine, beside PyTorch's or OpenCV's for the same numbers."""
