"""Where and on what: Ray, DVC, image files, dataset shards, the ledger."""
