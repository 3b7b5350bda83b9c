"""How a report takes effect everywhere: leases, the fence, and the copies that follow the ledger.

rules, lease, apply, fence, evict, swap, granting, copying, checking are pure: no I/O, no clock. The shells
(replica, relay, fence_wait) do what they say.
"""
