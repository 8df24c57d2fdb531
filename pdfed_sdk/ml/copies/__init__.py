"""Recognising copies of training pictures: augmentation, fingerprints, verification, and their training."""
