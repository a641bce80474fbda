"""The gallery: pages that show what a workspace made, with buttons that run commands."""
