"""What lostid does when it is asked three times what it can answer: measured, with thresholds."""
