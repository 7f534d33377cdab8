"""The bundle behind MLServer: its runtime, the routes, and the guard before them."""
