"""Messages as things of their own: read from captures and from mail files, shown to people, written to mail files.

    source     captures, messages and mailboxes, one after the other, into the pipeline
    mailfile   what kind of file it is; messages and mailboxes as a session
    lines      filters for streams of lines: the quoting of mailboxes, line ends
    letter     one message with what the plugins told of it, and the plugin that collects it
    hypertext  HTML as text
    show       the tree, the headers and the texts of a message, for people and as JSON
    envelope   how a message crossed, as header fields and as JSON
    folder     private files that appear under their names when they are whole
    store      .eml files, mailboxes, maildirs
    export     every message of the sources into a store
"""
