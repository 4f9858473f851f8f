"""The shipped policy library, in its real layout with the merge, over a register of 16 agents."""
