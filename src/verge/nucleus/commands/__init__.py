"""The commands of `verge-nucleus`, a module for each group; `cli` loads the one it needs."""
