"""How good samples are: features, the Fréchet distance, baseline measures."""
