"""The user's project: git, DVC stages, locks, the worktree of a retraining run."""
