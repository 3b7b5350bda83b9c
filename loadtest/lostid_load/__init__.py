"""An open-loop load test for lostid that knows the right answers. It never imports the server."""
