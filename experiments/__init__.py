"""One script a published table or figure, one per claim of ours; never imported by the packages."""
