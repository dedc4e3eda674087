"""Look at pages as a person would: the system's Chromium, driven by Playwright, kept away from the network.

The browser is one that is installed ($CHROMIUM, or on PATH), never a download of Playwright's own. While it
is open Playwright's event loop lives in this thread, so open it for a module and close it there.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no browser: apt-get install chromium fonts-liberation, or set CHROMIUM to the path of one"

PATIENCE = 20_000  # milliseconds until what a test looks for must be there

FLAGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def found() -> str | None:
    """The browser to drive, None if there is none; ValueError if $CHROMIUM names no program."""
    named = os.environ.get("CHROMIUM")
    if named:
        if shutil.which(named) is None:
            raise ValueError(f"CHROMIUM={named}: no program there; correct it, or leave it out")
        return named
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a new profile, closed at the end with all that it started; skips without one."""
    program = found()
    if program is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        # root has no sandbox of Chromium's
        browser = playwright.chromium.launch(
            executable_path=program, args=FLAGS, chromium_sandbox=os.geteuid() != 0
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page, and what a person would not see of it."""

    context: BrowserContext
    page: Page
    problems: list[str] = field(default_factory=list)
    """Errors on the page's console, and exceptions that its scripts did not catch."""
    abroad: list[str] = field(default_factory=list)
    """Requests to anything but this machine; they got nowhere."""


@contextmanager
def visit(browser: Browser, viewport: dict[str, int] = LAPTOP, **options: Any) -> Iterator[Visit]:
    """An empty page of this size; `options` are those of Playwright's contexts."""
    context = browser.new_context(viewport=viewport, **options)
    context.set_default_timeout(PATIENCE)
    visit = Visit(context, context.new_page())
    visit.page.on("request", lambda asked: None if is_here(asked.url) else visit.abroad.append(asked.url))
    visit.page.on("pageerror", lambda error: visit.problems.append(str(error)))
    visit.page.on("console", lambda said: visit.problems.append(said.text) if said.type == "error" else None)
    try:
        yield visit
    finally:
        context.close()


def is_here(url: str) -> bool:
    """Whether a URL is answered by this machine's loopback, a file or the page itself."""
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname == "127.0.0.1"
