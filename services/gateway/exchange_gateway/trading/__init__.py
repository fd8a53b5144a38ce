"""Commands, from what a client wants to what is promised and sent: orders, amendments, cancels, operators' commands.

    order_form, validation   what an order must be, by itself and against its instrument
    orders, amends, ...      the desks: what each command needs before it is promised
    holds                    hold and intent in one transaction: from its commit on it is promised
    commands_out             on its way to the matcher
    sweeper                  sent again, if no journal slot has shown it
    verdicts                 what the matcher said

Invariants: no promise without a committed intent; no refusal that is not conclusive.
"""
