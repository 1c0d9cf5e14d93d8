"""Questions about traffic: what `--filter` understands.

    fields       the table of what can be asked for
    values       the types of fields, and how a value that a user types is compared with them
    grammar      the language: text to tree
    question     trees compiled, for each kind of event and for whole sessions
    account      what is known of a session so far
    sieve        keeps of a stream of events those that a filter asks for
    letters      keeps of the messages of a run those that a filter asks for

Knows events.  Must not know commands, files or how anything is shown.
"""

from inspector.query.question import Expression
from inspector.query.sieve import Listener, sieve

__all__ = ["Expression", "Listener", "sieve"]
