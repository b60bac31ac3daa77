"""Multi-user scheduling: whose packet a shared wireless slot carries."""
