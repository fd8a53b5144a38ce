"""`crossbook audit`: reads the stores of an exchange and judges them by the journal. The simulation judges by the same.

evidence    what the stores say, read at one point of the journal
fold        what the journal says, folded a second time, by rules written apart from the engine's
checks      journal, engine, money, wallets, intents; how two accounts are compared
projections, candles, outcomes   the database, the history and the caches
run         all of it, on a running exchange
"""
