"""The history database: what the journals tell, to be asked across runs, and the due times of schedules.

Importing it brings SQLAlchemy, which takes longer than many a run: only where it is used.
"""

from remedy.history.database import Database, in_memory, open_database, same_database, sqlite_file
from remedy.history.trouble import HistoryError

__all__ = ["Database", "HistoryError", "in_memory", "open_database", "same_database", "sqlite_file"]
