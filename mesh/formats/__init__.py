"""Files that people exchange: iCalendar (`ical`) and CSV (`sheets`).

Imports `declarations` and `mesh.errors`.
The two files are independent of each other.
"""
