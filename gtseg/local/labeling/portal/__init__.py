"""The worker portal: the gate that every request passes, sessions, routes, pages and static files."""
