"""Operations as a REST API over HTTP.

Imports `doors.admission`, `doors.http` and what is below the doors.
Begin with `middleware`, where a request comes in, then `exchange`, which calls through `doors.admission`.
"""
