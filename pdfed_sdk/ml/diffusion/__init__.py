"""The diffusion model, and how it is trained and sampled."""
