"""PDFed: decentralised, asynchronous federated learning of diffusion models."""
