"""What a deployment asks of the components that run, before it changes them (contract 3.7)."""
