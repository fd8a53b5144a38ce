"""Who uses the exchange in a world: traders, an operator, readers and listeners, and what they remember of it."""
