"""What customers' mirrors are made from: each one's filter under a key of its own, and what came after it."""
