"""Files that people exchange: iCalendar (`ical`) and CSV (`sheets`).

Imports `declarations` and `mesh.errors`.
Each file stands alone.
"""
