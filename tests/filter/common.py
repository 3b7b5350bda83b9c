"""What the tests of this room share."""

KEY_ID = b"key id 1"
