"""What mkdocs takes from outside of docs/: the pages at the root, where GitHub looks for them."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages, their links turned as they are to be read from docs/."""
    for name, place in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=as_in_docs(text)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page with the source files that it links to named in place of a link: the site has none of them.

    Only those that there are; a link to another stays, and is the error that it should be.
    """

    def named(link: re.Match[str]) -> str:
        text, source = link[1], link[2]
        if not (ROOT / source).is_file():
            return link[0]
        return text if source in text else f"{text} (`{source}`)"

    return re.sub(r"\[([^\]]+)\]\(\.\./([^)#]+)\)", named, markdown)


def as_in_docs(text: str) -> str:
    """Markdown of the root, its links as they are from docs/, where its pages have other names."""

    def turned(link: re.Match[str]) -> str:
        target = link[1].removeprefix("docs/")
        return f"]({PAGES.get(target, target)}"

    return re.sub(r"\]\(([^)#]+)", turned, text)
