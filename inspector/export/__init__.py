"""What crossed, in the forms of others and for people.

    form         what a form is, and where it is written
    exporter     the plugin that tells the forms
    jsonlines    the JSON events of mailspy itself
    eve          Suricata's EVE
    zeek         Zeek's logs
    copy         a capture, annotated and in the clear
    record       one session, remembered
    ladder       a record as a sequence diagram: SVG, HTML, Mermaid
    report       a page about a capture

Knows events.  Must not know options, nor where the events come from.
"""
