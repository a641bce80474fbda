"""The dataset: ingest, shards, augmentation, validation."""
