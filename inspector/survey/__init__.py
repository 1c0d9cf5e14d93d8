"""What captures hold, counted: a row for each session, figures over all of them.

    sessions     the rows of `mailspy sessions`
    stats        the figures of `mailspy stats`
    histogram    times and sizes in bounded memory
    top          the most frequent of many names in bounded memory
    table        rows as text, as wide as there is room
    export       rows as JSON lines and as CSV

Knows events and their accounts.  Must not know options or where events come from.
"""
