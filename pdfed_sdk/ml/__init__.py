"""Train and score: data, features, fingerprints, the Q-N score and its baselines. Knows no chain."""
