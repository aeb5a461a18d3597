"""Programs that the benchmark runs with another interpreter than its own; nothing imports them."""
