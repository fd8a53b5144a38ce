"""What this gateway knows of the market: instruments, reference prices, tickers, candles. Read, never written.

It may be old, by a bound that each module names; nothing that moves money is decided from it.
"""
