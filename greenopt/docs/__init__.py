"""The documentation as Markdown pages, which ship with the package and are read without a network.

Invariant: `index.md` lists every page once, with what it is about; nothing else knows which pages there are.
"""

from greenopt.docs.pages import INDEX, Page, find_page, list_pages

__all__ = ["INDEX", "Page", "find_page", "list_pages"]
