"""What every house uses and none owns: core rules, queue, store, catalog, settings."""
