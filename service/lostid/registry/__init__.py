"""What is in force, in Redis or Valkey: a copy that decides nothing.

It may be flushed, restarted, split or replaced by a stale copy of itself at any time and no answer is wrong for it: a
reader believes it only if one atomic read shows that it holds the reader's own entry (seq and chain hash), and a miss
is always confirmed by the ledger. It moves by compare-and-append, and is filled anew from the ledger whenever it does
not fit.

What a lookup cannot see (somebody who may write to Redis puts back an older record of ours; a copy was made key by key
while it was being written to) is found by comparison, within seconds: docs/decisions/0014.
"""
