"""The scheduler: leader lease, rebalancing, reaping, deadlines, retention."""
