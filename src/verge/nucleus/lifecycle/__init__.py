"""Components as processes: states, dependency order, environment."""
