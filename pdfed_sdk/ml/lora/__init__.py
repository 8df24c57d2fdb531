"""The family of LoRA adapters of latent text-to-image models."""
