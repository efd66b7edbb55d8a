"""A store in one SQLite file, for a service in one process."""

from gandt.service.records import Records
from gandt.service.sqlite.history import History
from gandt.service.sqlite.jobs import Jobs
from gandt.service.sqlite.people import People
from gandt.service.sqlite.work import Work


class SqliteStore(Jobs, Work, People, History, Records):
    """The state of a labeling service, in the folder ``path``; a :class:`gandt.service.store.Store`.

    Raises
    ------
    InputError
        When the folder holds something that is no state of gandt's.
    """
