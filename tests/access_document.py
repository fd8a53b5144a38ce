"""Writes docs/access.md from the tries that the tests make: `.venv/bin/python -m tests.access_document`."""

from pathlib import Path

from tests.access import Tries, tables
from tests.e2e import test_access, test_access_credentials, test_access_stream
from tests.unit.gateway import test_access as test_issued_tokens

PATH = Path(__file__).resolve().parents[1] / "docs" / "access.md"
HEAD = """# Who reaches what

A user reaches his own orders, fills, balances and keys, and nobody else's; what operators do takes an operator's
log-in; a program with an API key does what its scopes say, for the user whose key it is. Somebody else's looks like
what does not exist.

How it is kept: every query names the user of the token or the key, never one from the request, and so
does the stream's subscription
([routes/orders.py](../services/gateway/exchange_gateway/routes/orders.py)); a token counts only with signature, issuer,
client, use, expiry *and* a session that stands ([tokens.py](../libs/adapters/exchange_adapters/tokens.py)); a signed
request counts once ([access/signatures.py](../services/gateway/exchange_gateway/access/signatures.py)).

Each row is a try that a test makes, with the answer that it must get; after each one on the whole exchange, her order,
her balances and her key must be as they were. The tables are written from the tests
(`.venv/bin/python -m tests.access_document`), and a test holds that they are the same.
"""


def document() -> str:
    """The whole page."""
    modules: list[tuple[str, Tries]] = [
        (test_access.PROOF, test_access.tries),
        (test_issued_tokens.PROOF, test_issued_tokens.tries),
        (test_access_credentials.PROOF, test_access_credentials.tries),
        (test_access_stream.PROOF, test_access_stream.tries),
    ]
    return HEAD + tables([(proof, tries.all) for proof, tries in modules])


if __name__ == "__main__":
    PATH.write_text(document())
