"""`mailspy relay-test`: asks a server, in all the classic forms, whether it would relay; no letter is ever sent.

    forms        the table of what is asked
    talk         one connection, command by command
    probe        forms through connections, each judged by the relay plugin
    report       the results as a table and as JSON
"""
