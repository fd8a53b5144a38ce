"""What must hold when a world has come to its end: the audit's checks of the stores, and those that need to know what
clients asked for and heard.

Each check is a name and a function from the aftermath to the differences that it found. None of them repairs, excuses
or samples anything.
"""
