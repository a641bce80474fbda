"""The user's project: git, DVC stages, locks, the night's worktree."""
