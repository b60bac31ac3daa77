"""A sender, a router and a receiver in network namespaces, with real kernel TCP between them."""
