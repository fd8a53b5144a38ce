"""The persister: settles journal slots in the wallets, the archive and PostgreSQL.

Owns: the settlement of slots (`apply`), the two ways records reach it (`lambda_handler` on AWS, `worker` on the twins)
and the database's migrations. Lifecycle: starting is recovering; the position in PostgreSQL says what is done.
Invariants: slots are settled in order and without gaps, wallets before the archive before the database; every step may
be repeated, split or run twice at once without a second effect. May import exchange_adapters and exchange_core only.
"""
