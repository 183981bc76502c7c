"""The page that says whether a model was worth it.

Two steps, so that what is said can be tested, saved or shown elsewhere without HTML::

    summarise(models, X_train, X_test, ...) -> dict      summary.py, with tables.py and maps.py; which pictures
                                                         a model has: model_pictures.py; what they say: pictures.py
    render(summary) -> str                               page.py, from the files in templates/
    write_report(summary, folder) -> Path                page.py: the page, and the pictures as files

To change what the page says, change the summary and its tests; to change how it looks, change
``templates/page.html`` and ``templates/style.css``. The page needs no script and no network.
"""

from isthmus.report.page import render, write_report
from isthmus.report.summary import summarise
from isthmus.report.tables import settings_of

__all__ = ["render", "settings_of", "summarise", "write_report"]
