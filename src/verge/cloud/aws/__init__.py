"""AWS services as moto knows them, kept through restarts, and what the other parts ask of them."""
