"""Which of many demands are admitted together, each on one of its options: one problem, several searches."""
