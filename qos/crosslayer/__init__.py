"""Cross-layer adaptation: what each wireless link can carry, and the settings that make it do so."""
