"""A node: strategy, publishing, the persisted loop that joins chain, artifacts and ml."""
