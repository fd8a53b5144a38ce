"""The paths of the contract, one module a subject: read the request, ask the part that knows, write the answer.

Nothing is decided here but what a path takes and answers. `contract` says which paths there are; a test holds the two
together.
"""
