"""The recipe model shared by tooling, nucleus and cloud. Imports nothing of ours."""
