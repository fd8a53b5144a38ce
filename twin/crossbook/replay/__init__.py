"""`crossbook replay`: recorded order flow, sent to an exchange at its own pace or faster, and what came of it.

recording, schedule, model   what to send, when, and what should come of it
driver, outcome              sending it, and finding every order again
agreement, report            how far book and trades agree with the recording, and the table
"""
