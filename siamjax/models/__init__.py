"""Networks: layers, backbones and heads. They know nothing of frames, boxes or files."""
