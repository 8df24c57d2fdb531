"""Talk to the contracts: commitments, calls, transport, events, clients. Neither torch nor brownie."""
